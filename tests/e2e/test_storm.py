"""The short form of `python tests/proofs storm` (B46, C87)."""

from proofs import storm


async def test_payments_survive_kills_exactly_once(tmp_path):
    report = await storm.blow(tmp_path, rounds=2, seed=1)
    assert report.failures == []
    assert report.numbers["acknowledged"] > 50
    assert report.numbers["repetitions"] > 5
