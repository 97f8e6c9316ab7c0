"""The short form of `python tests/proofs upstream` (B71, C87)."""

from proofs import upstream


async def test_every_answer_is_the_patrons_own_whatever_the_library_system_does():
    report = await upstream.suffer(faults=300, seed=1)
    assert report.failures == []
    assert report.numbers["answered"] > 300
    assert report.numbers["failed"]


async def test_nobody_waits_much_longer_than_others():
    report = await upstream.queue(terminals=200, rounds=3)
    assert report.failures == []
