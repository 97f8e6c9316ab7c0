"""The short form of `python tests/proofs faults` (B2, B46, C59, C98)."""

from dataclasses import replace

import pytest
from faulty_disk import build
from full import only_in_full
from postgres import running_server
from proofs import faults

SHORT = faults.Plan(
    payments=0,
    seed=1,
    deadline_s=1,
    timeout_s=5,
    seconds_min=2.2,
    seconds_max=2.7,
    think_s=(0.02, 0.1),
    quiet_s=(0, 0.1),
    minutes_max=1,
    unsure_max=0.2,
)
"""So short that the share of what is 'not sure' says nothing, but longer than it takes until a
passed deadline is noticed."""


@pytest.fixture
def disk(tmp_path_factory):
    made = build(tmp_path_factory.mktemp("disk"))
    if made is None:
        pytest.skip("gcc compiles what makes the disk fail")
    with made:
        yield made


async def test_a_yes_is_true_and_a_no_is_final_whatever_fails(tmp_path, disk):
    kinds = ("locked", "failing", "failing_with_spool", "killed")
    report = await faults.prove(tmp_path, replace(SHORT, kinds=kinds), disk)
    assert report.failures == []
    assert report.numbers["faults"] == 4
    assert disk.store.hits.flushes_failed
    assert disk.spool.hits.flushes_failed


@only_in_full
async def test_a_yes_is_true_and_a_no_is_final_on_postgresql(tmp_path):
    kinds = ("locked", "frozen_database", "cut")
    with running_server(durable=True) as server:
        report = await faults.prove(tmp_path, replace(SHORT, kinds=kinds), None, server)
    assert report.failures == []
    assert report.numbers["faults"] == 3
