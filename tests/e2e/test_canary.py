"""The short form of `python tests/proofs canary` (B16, C78, B74): no secret shows anywhere."""

from proofs import canary, canary_upstream


async def test_no_canary_sings(tmp_path):
    report = await canary.sing(tmp_path, levels=("debug",), every=3)
    assert report.failures == []


async def test_no_canary_sings_before_a_library_system_that_echoes_it(tmp_path):
    report = await canary_upstream.sing(tmp_path, count=20, every=15)
    assert report.failures == []
