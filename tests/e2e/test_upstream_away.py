"""The short form of `python tests/proofs away` (B40, B71, B77)."""

from proofs import away, brownout


async def test_terminals_are_told_the_truth_while_the_library_system_comes_and_goes(tmp_path):
    """Twelve seconds: it must go twice, once silently."""
    report = await away.prove(tmp_path, cycles=2, here_s=3.5, away_s=2.5, scale=0.4, seed=1)
    assert report.failures == []


async def test_a_slow_account_is_refused_honestly(tmp_path):
    """Eight seconds: answers that come late are what it is about."""
    report = await brownout.prove(tmp_path, pairs=1, phase_s=4.0, judges_times=False)
    assert report.failures == []
