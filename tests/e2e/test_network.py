"""The short form of `python tests/proofs network` (B46, C62, C87)."""

from postgres import running_server
from proofs import network


async def test_payments_survive_kills_of_either_gateway_exactly_once(tmp_path):
    with running_server() as server:
        report = await network.blow(
            tmp_path,
            server,
            payments=150,
            kills=2,
            seed=1,
            connections=16,
            life_s=(0.1, 1.0),
            kills_max=4,
        )
    assert report.failures == []
    assert report.numbers["acknowledged"] >= 150
    assert report.numbers["kills"] >= 2
    assert report.numbers["answered_by_the_other"] > 1
