"""The short form of `python tests/proofs upstream` (B71, C87)."""

from proofs import in_front, upstream


async def test_every_answer_is_the_patrons_own_whatever_the_library_system_does():
    report = await upstream.suffer(faults=300, seed=1)
    assert report.failures == []
    assert report.numbers["answered"] > 300
    assert report.numbers["failed"]


async def test_nobody_waits_much_longer_than_others():
    report = await upstream.queue(terminals=200, rounds=3)
    assert report.failures == []


async def test_every_terminal_of_a_gateway_is_answered_with_its_own_patron(tmp_path):
    report = await in_front.suffer(tmp_path, faults=100, seed=1)
    assert report.failures == []
    assert report.numbers["answered"] > 200


async def test_the_same_over_tls_that_breaks_off(tmp_path):
    report = await in_front.suffer(tmp_path, faults=50, seed=2, tls=True)
    assert report.failures == []
    assert report.numbers["answered"] > 100
