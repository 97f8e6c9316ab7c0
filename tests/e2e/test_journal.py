"""The short form of `python tests/proofs journal` (B77, C125, C154).

It takes seconds, because only a killed process shows what outlives it.
"""

from proofs import journal


async def test_what_was_taken_off_line_goes_up_once_in_order_whatever_is_killed(tmp_path):
    report = await journal.prove(tmp_path, requests=30, kills=1, away_s=1.0, seed=4, kiosks=3)
    assert report.failures == []
    assert report.numbers["conflicts"]
    assert report.numbers["killed_while_handing_over"]
