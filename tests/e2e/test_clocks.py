"""The short form of `python tests/proofs clocks` (C69, C97)."""

from postgres import running_server
from proofs import clocks


def test_each_yes_is_so_whatever_the_clocks_say():
    with running_server() as server:
        report = clocks.prove(server, steps=150, seed=1)
    assert report.failures == []
    assert report.numbers["done"] > 0
