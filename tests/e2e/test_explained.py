"""The short form of `python tests/proofs explain` (B70, C22, C87, C171)."""

from proofs import explain


async def test_what_is_explained_is_what_is_answered_logged_and_recorded(tmp_path):
    report = await explain.prove(tmp_path, steps=150, seed=2)
    assert report.failures == []
    assert report.numbers["at doors"] > 60
    assert report.numbers["reasons"] > 20
    assert '"pin_locked"' in report.numbers["by reason"]
