"""The short form of `python tests/proofs garbage` (C80): answered, whatever the others send."""

from proofs import garbage


async def test_a_terminal_is_answered_among_garbage(tmp_path):
    report = await garbage.disturb(tmp_path, connections=50, seconds=0.6)
    assert report.failures == []
    assert report.numbers["asked"]
