"""The short form of `python tests/proofs upstream-lending` (B79, C98, C127)."""

from proofs import upstream_lending


async def test_nothing_goes_up_twice_and_every_answer_is_true(tmp_path):
    report = await upstream_lending.prove(
        tmp_path, kiosks=6, requests=120, kills=2, seed=3, share=0.06
    )
    assert report.failures == []
    assert report.numbers["yes"]
    assert report.numbers["not_sure"]
