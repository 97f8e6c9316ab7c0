"""The short form of `python tests/proofs upstream-payments` (B46, B75, C59, C98, C156)."""

from full import only_in_full
from postgres import running_server
from proofs import upstream_payments


async def _prove(directory, server=None):
    report = await upstream_payments.prove(
        directory, payments=16, tills=4, seed=3, life=80, looks=False, server=server
    )
    assert report.failures == []
    assert report.numbers["booked"]
    assert report.numbers["kills"]
    assert report.numbers["left_to_staff"]


async def test_nothing_is_paid_twice_or_lost(tmp_path):
    await _prove(tmp_path)


@only_in_full
async def test_nor_through_two_gateways_on_one_database(tmp_path):
    with running_server() as server:
        await _prove(tmp_path, server)
