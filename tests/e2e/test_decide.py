"""A door decides alike by HTTP and by SIP2, in short; see docs/proofs.md."""

from proofs import decide


async def test_c140_doors_decide_alike_whoever_asks(tmp_path):
    """It takes some seconds, because it runs two gateways with 150 patrons."""
    report = await decide.prove(tmp_path, steps=80, seed=3)
    assert report.failures == []
    assert report.numbers["reasons"] > 8
