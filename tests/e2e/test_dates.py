"""The short form of `python tests/proofs dates` (B9, B43, C106)."""

import random
import string
from unittest.mock import patch

import pytest
from desk import DESK_LIBRARY
from full import only_in_full
from harness import ask_37
from postgres import running_server
from proofs import dates
from proofs.dialogues import login
from proofs.odd_values import EDGES, Speaker
from proofs.rig import rigged

from sip2gw.backend.sql import values
from sip2gw.handlers import fee
from sip2gw.policy.items import offline
from sip2gw.protocol import timestamps


@pytest.fixture(scope="module")
def server():
    with running_server() as started:
        yield started


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=only_in_full)])
async def test_odd_values_make_nothing_unanswerable(tmp_path, server, store):
    report = await dates.dates(
        tmp_path, requests=1_500, seed=5, server=server if store == "postgresql" else None
    )
    assert report.failures == []
    assert report.numbers["bugs"] == 0


async def test_the_proof_notices_dates_that_no_zone_has(tmp_path):
    """With the faults that were there once: every date is used, and read as it is."""
    with (
        patch.object(Speaker, "_date", lambda self: self._chance.choice(EDGES)),
        patch.object(timestamps, "YEARS", range(10_000)),
        patch.object(values, "_READ_AS_IT_IS", range(10_000)),
        patch.object(fee, "_transacted", timestamps.read_timestamp),
        patch.object(offline, "_between", lambda _first, moment, _last: moment is not None),
    ):
        report = await dates.dates(tmp_path, requests=500, seed=5)
    assert any("OverflowError" in failure for failure in report.failures)


async def test_a_transaction_id_that_no_index_holds_is_booked_once(tmp_path, server):
    """PostgreSQL refuses a key of more than 2,700 bytes."""
    config = dates.CONFIG.replace("sqlite:library.db", server.url(server.make_database()))
    long = "".join(random.Random(1).choices(string.ascii_letters, k=5_000))
    pay = ask_37("1004", "0.01", pin="1004", bk=long).encode() + b"\r"
    other = ask_37("1004", "0.01", pin="1004", bk=f"{long[:-1]}0").encode() + b"\r"
    async with rigged(tmp_path, config_text=config, records=DESK_LIBRARY) as rig:
        outcome = await rig.converse([login("t-cash") + b"\r" + pay + pay + other])
        assert [answer[:3] for answer in outcome.sent.split(b"\r")[1:4]] == [b"38Y"] * 3
        assert len(list(rig.app.store.payments())) == 2
        assert rig.faults() == []
