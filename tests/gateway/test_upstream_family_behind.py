"""A child's debt through a gateway in front of a gateway: the one behind is the library, the one in
front knows who belongs to whom (B51, B52, B76)."""

from contextlib import asynccontextmanager

from behind import DIALECTS, ILS, behind, config_in_front
from harness import CONFIG, LIBRARY, ask_37, ask_63, debt, fields, running

FIXED_64 = 61
DIALECT = DIALECTS["UTF-8 without checksums"]


def without(records, *kinds):
    return [record for record in records if record["kind"] not in kinds]


@asynccontextmanager
async def two_gateways(directory, *debts):
    """One in front of another, which knows `debts` besides those of all tests."""
    records = [*LIBRARY, *debts]
    (directory / "front").mkdir()
    async with (
        behind(directory, DIALECT, config=CONFIG, records=without(records, "relationship")) as rear,
        running(
            directory / "front",
            config=config_in_front(DIALECT, rear.address),
            records=without(records, "fee"),
        ) as front,
    ):
        yield front, rear


async def test_a_head_pays_own_debts_and_a_childs_in_one_payment(tmp_path):
    """The one behind refuses a receipt number (BK) that it has seen with another payment."""
    async with two_gateways(tmp_path, debt("A1", "1001", "2.50")) as (front, rear):
        pay = await front.terminal("pay-1")
        assert (await pay.ask(ask_37("1001", "5.50", pin="1001", bk="B1"))).startswith("38Y")
        theirs = [(one.payer_id, one.amount, one.bk) for one in rear.store.payments()]
        assert theirs == [("1001", 250, "B1"), ("1002", 300, "B1-2")]
        (ours,) = front.store.payments()
        assert (ours.status, ours.amount, ours.bk) == ("booked", 550, "B1")


async def test_a_head_pays_at_a_merged_kiosk_and_the_child_is_unblocked(tmp_path):
    lost = debt("T2", "1002", "12.00", description="Lost")
    async with two_gateways(tmp_path, lost) as (front, rear):
        assert 'family = "off"' in ILS  # the library itself shows and pays own fees only
        kiosk, pay = await front.terminal("kiosk-1"), await front.terminal("pay-1")
        assert (await kiosk.ask(ask_63("1002", "1002"))).startswith("64YY")
        shown = await pay.ask(ask_63("1001", "1001", summary="   Y      ", extra="FWB|"))
        assert fields(shown, "BV", fixed=FIXED_64) == ["15.00"]
        assert fields(shown, "AV", fixed=FIXED_64) == ["15.00 EUR Tom:"]
        answer = await pay.ask(ask_37("1001", "15.00", pin="1001", bk="B1"))
        assert answer.startswith("38Y")
        his = await kiosk.ask(ask_63("1002", "1002"))
        assert his.startswith("64              ")
        assert fields(his, "BV", fixed=FIXED_64) == ["0.00"]
        # Behind, Tom has paid; in front, his mother.
        (theirs,), (ours,) = rear.store.payments(), front.store.payments()
        assert (theirs.payer_id, theirs.terminal, theirs.amount) == ("1002", "ils", 1500)
        assert (ours.payer_id, ours.terminal, ours.amount) == ("1001", "pay-1", 1500)
        (line,) = ours.lines
        assert (line.debtor_id, line.relation) == ("1002", "head_of_family")
