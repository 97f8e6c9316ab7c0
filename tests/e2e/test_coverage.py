"""The short form of `python tests/proofs coverage`: spoiled input, without following branches."""

import importlib.util
import random
import subprocess
from unittest.mock import patch

import pytest
from proofs import coverage, targets
from proofs.mutations import delete, duplicate, flip, insert, replace, swap, truncate
from proofs.report import Report

from sip2gw.protocol.errors import UnknownMessageError

ROUNDS = {"frames": 400, "codec": 400, "proxy": 400, "configuration": 60, "json-lines": 60}


def spoiled(chance, seed):
    """`seed` with some changes; now and then as it is."""
    data = bytearray(seed)
    for _ in range(chance.randrange(5)):
        if data:
            change = chance.choice((flip, replace, insert, delete, duplicate, swap, truncate))
            change(chance, data)
    return bytes(data)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_spoiled_input_is_answered_or_refused_as_declared(name):
    target, chance = targets.TARGETS[name], random.Random(name)
    for seed in target.seeds:
        target.feed(seed)
    for _ in range(ROUNDS[name]):
        target.feed(spoiled(chance, chance.choice(target.seeds)))


def test_the_program_knows_the_same_targets():
    assert tuple(targets.TARGETS) == coverage.NAMES


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("frames", "parse_response"),
        ("codec", "serialise"),
        ("proxy", "ip_address"),
        ("configuration", "load_config"),
        ("json-lines", "records"),
    ],
)
def test_an_error_that_is_not_the_declared_one_is_a_finding(name, broken):
    targets._store()
    target = targets.TARGETS[name]
    with patch.object(targets, broken, side_effect=IndexError), pytest.raises(IndexError):
        target.feed(target.seeds[0])


def test_an_answer_that_its_own_side_cannot_read_is_a_finding():
    with (
        patch.object(targets, "parse_response", side_effect=UnknownMessageError),
        pytest.raises(UnknownMessageError),
    ):
        targets.frames(targets.TARGETS["frames"].seeds[0])


def test_without_the_fuzzer_the_program_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert coverage.main([]) == 2
    assert "pip install -e '.[dev,fuzz]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "status", "failures"),
    [
        ("#9 cov: 7\nstat::number_of_executed_units: 12\n", 0, []),
        ("#9 cov: 7\nstat::number_of_executed_units: 12\n", 77, ["proxy: with b'PROXY'"]),
        ("ImportError: no fuzzer\n", 0, ["proxy: with b''"]),
    ],
)
def test_a_fuzzer_that_ends_early_or_never_began_has_shown_nothing(said, status, failures):
    def ended(command, env, **settings):
        if failures and status:
            with open(f"{env['TMPDIR']}/crash-1", "wb") as file:
                file.write(b"PROXY")
        return subprocess.CompletedProcess(command, status, "", said)

    report = Report("coverage")
    with patch.object(subprocess, "run", ended):
        coverage.run("proxy", 1, report)
    assert [one.partition("\n")[0] for one in report.failures] == failures
    assert report.numbers["proxy"] == ("? inputs" if status == 0 and failures else "12 inputs")


def test_words_of_good_input_are_the_dictionary():
    assert coverage.words_of([b'[admin]\nlisten = "x"', b"listen"]) == [b"admin", b"listen"]
