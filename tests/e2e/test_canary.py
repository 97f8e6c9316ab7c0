"""The short form of `python tests/proofs canary` (B16, C78): no secret shows anywhere."""

from proofs import canary


async def test_no_canary_sings(tmp_path):
    report = await canary.sing(tmp_path, levels=("debug",), every=3)
    assert report.failures == []
