"""The short form of `python tests/proofs beside` (C114, C130): terminals beside hostile clients."""

from proofs import beside


async def test_200_slow_half_huge_and_hostile_clients_beside_50_terminals(tmp_path, watch):
    report, found = await beside.prove(tmp_path, pairs=2, seconds=0.5, program=watch.program())
    assert report.failures == [], report.numbers
    assert len(found.ratios) == 2
