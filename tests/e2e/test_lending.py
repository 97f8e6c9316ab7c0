"""The short form of `python tests/proofs lending` (B61, C69, C87)."""

import pytest
from postgres import running_server
from proofs import lending


@pytest.mark.parametrize("kiosks", lending.KIOSKS)
async def test_one_of_all_gets_each_copy_whatever_is_killed(tmp_path, kiosks):
    report = await lending.prove(
        tmp_path, kiosks=kiosks, races=15, kills=1, seed=1, life_s=(0.2, 0.6), kills_max=4
    )
    assert report.failures == []
    assert report.numbers["acknowledged"] >= 30


async def test_one_of_all_gets_each_copy_at_either_of_two_gateways(tmp_path):
    with running_server() as server:
        report = await lending.prove(
            tmp_path,
            kiosks=8,
            races=10,
            kills=2,
            seed=1,
            server=server,
            life_s=(1.0, 3.0),
            kills_max=4,
        )
    assert report.failures == []
    assert report.numbers["acknowledged"] >= 20
    assert report.numbers["kills"] >= 2
