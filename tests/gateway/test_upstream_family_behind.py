"""A child's debt through a gateway in front of a gateway: the one behind is the library, the one in
front knows who belongs to whom (B51, B52, B76)."""

from behind import DIALECTS, ILS, behind, config_in_front
from harness import CONFIG, LIBRARY, ask_37, ask_63, debt, fields, running

FIXED_64 = 61
DIALECT = DIALECTS["UTF-8 without checksums"]


def without(records, *kinds):
    return [record for record in records if record["kind"] not in kinds]


async def test_a_head_pays_at_a_merged_kiosk_and_the_child_is_unblocked(tmp_path):
    records = [*LIBRARY, debt("T2", "1002", "12.00", description="Lost")]
    (tmp_path / "front").mkdir()
    async with (
        behind(tmp_path, DIALECT, config=CONFIG, records=without(records, "relationship")) as rear,
        running(
            tmp_path / "front",
            config=config_in_front(DIALECT, rear.address),
            records=without(records, "fee"),
        ) as front,
    ):
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
