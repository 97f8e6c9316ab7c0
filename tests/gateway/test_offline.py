"""No block `Y`: when it is believed, and what staff sees of it (B57, C25, C85, C106)."""

import pytest
from desk import BLANK, DESK_CONFIG, DESK_LIBRARY, EARLIER, ask_09, ask_11, ask_17, ask_29
from harness import STAMP, ask_63, fields, running

NEVER = DESK_CONFIG.replace('kind = "selfcheck"', 'kind = "selfcheck"\naccept_offline = false')


def reviews(gateway):
    return [
        (entry.kind.value, entry.message, entry.item, entry.patron, entry.outcome, *entry.reasons)
        for entry in gateway.store.reviews()
    ]


async def loan(gateway, card, item):
    record = await gateway.store.find_patron(card)
    return next((loan for loan in record.loans if loan.item_id == item), None)


@pytest.mark.parametrize(
    ("request_line", "noted"),
    [
        # a banned card with a wrong PIN, at what waits on the shelf for somebody else
        (
            ask_11("READY1", "1004", "0000", flags="NY"),
            ("conflict", "11", "READY1", "1004", "refused", "wrong_pin"),
        ),
        (
            ask_11("READY1", "1009", "1009", flags="NY"),
            ("conflict", "11", "READY1", "1009", "refused", "on_hold"),
        ),
        (
            ask_11("FREE1", "4711", flags="NY"),
            ("conflict", "11", "FREE1", "4711", "refused", "unknown_card"),
        ),
        (
            ask_29("ABQUEUED1", "1009", "0000", flags="NY"),
            ("conflict", "29", "QUEUED1", "1009", "refused", "wrong_pin"),
        ),
        (
            ask_29("ABQUEUED1", "1009", "1009", flags="NY"),
            ("conflict", "29", "QUEUED1", "1009", "refused", "on_hold"),
        ),
        (
            ask_09("FREE1", no_block="Y"),
            ("conflict", "09", "FREE1", "", "refused", "not_charged"),
        ),
    ],
)
async def test_what_happens_now_is_judged_like_any_other_and_its_refusal_is_listed(
    desk, request_line, noted
):
    kiosk = await desk.terminal("kiosk-1")
    for _ in range(2):
        assert (await kiosk.ask(request_line))[2] == "0"
    assert reviews(desk) == [noted]


async def test_c42_the_number_of_an_unknown_card_is_listed_as_far_as_a_screen_can_show_it(desk):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_11("FREE1", "\x1b[31m" + "4711" * 100, flags="NY"))
    ((*_, card, _, _),) = reviews(desk)
    assert card == ("?[31m" + "4711" * 100)[:255]


async def test_two_unknown_cards_with_one_item_are_two_entries(desk):
    kiosk = await desk.terminal("kiosk-1")
    for card in ("4711", "4712", "4711"):
        await kiosk.ask(ask_11("FREE1", card, flags="NY"))
    assert sorted(card for *_, card, _, _ in reviews(desk)) == ["4711", "4712"]


@pytest.mark.parametrize(
    ("request_line", "item", "card"),
    [
        # The `|` before AD, or AC, is missing.
        (f"11NY{STAMP}{BLANK}AOHUB|AA4711AD9177|ABFREE1|AC|", "FREE1", "4711AD***"),
        (f"11NY{STAMP}{BLANK}AOHUB|AA1004|ABNO1AD9177|AC|", "NO1AD***", "1004"),
        (f"09Y{STAMP}{STAMP}APX|AOHUB|ABNO1AC9177|", "NO1AC***", ""),
        # There is such an item, so its number is no secret.
        (f"09Y{STAMP}{STAMP}APX|AOHUB|ABFREE1|", "FREE1", ""),
    ],
)
async def test_b16_a_secret_that_another_field_has_swallowed_is_not_listed(
    desk, request_line, item, card
):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(request_line)
    assert [(entry.item, entry.patron) for entry in desk.store.reviews()] == [(item, card)]
    with desk.store.snapshot() as connection:
        for table in ("review", "circulation"):
            assert "9177" not in str(connection.execute(f"SELECT * FROM {table}").fetchall())


async def test_without_a_date_nothing_is_believed(desk):
    kiosk = await desk.terminal("kiosk-1")
    undated = ask_11("FREE1", "1004", "1004", flags="NY", stamp=BLANK)
    assert (await kiosk.ask(undated)).startswith("120")
    assert reviews(desk) == [("conflict", "11", "FREE1", "1004", "refused", "blocked")]


async def test_what_happens_now_and_is_done_is_nothing_to_look_at(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_11("FREE1", "1009", "1009", flags="NY")))[:3] == "121"
    assert (await kiosk.ask(ask_09("FREE1", no_block="Y")))[:3] == "101"
    assert reviews(desk) == []


async def test_a_return_is_believed_by_the_older_of_its_dates(desk):
    """Some terminals say in the transaction date when they send it."""
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_09("FREE1", no_block="Y", returned=EARLIER)))[:3] == "101"
    assert (await kiosk.ask(ask_09("FREE2", no_block="Y", stamp=EARLIER)))[:3] == "101"
    assert [entry[-1] for entry in reviews(desk)] == ["not_charged", "not_charged"]


async def test_a_profile_that_does_not_accept_it_believes_nothing_and_98_says_so(tmp_path):
    async with running(tmp_path, config=NEVER, records=DESK_LIBRARY) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        status = await kiosk.ask("9900302.00")
        assert status.startswith("98YYYYNN")  # the sixth flag: off line
        refused = await kiosk.ask(ask_11("READY1", "1009", "1009", flags="NY", stamp=EARLIER))
        assert refused.startswith("120N")
        assert reviews(gateway) == [("conflict", "11", "READY1", "1009", "refused", "on_hold")]


FAR = "99991231    235959"
ANCIENT = "00010101    000000"


@pytest.mark.parametrize(
    ("stamp", "due", "reasons"),
    [
        (EARLIER, FAR, ("due_date_ignored",)),
        (EARLIER, "99981231    235959", ("due_date_ignored",)),
        (EARLIER, "20260301    235959", ("due_date_ignored",)),
        (EARLIER, "20361231    235959", ("due_date_ignored",)),
        ("20250101    120000", "20260401    235959", ("date_ignored",)),
        ("19000101    120000", FAR, ("date_ignored", "due_date_ignored")),
    ],
)
async def test_dates_that_cannot_be_right_are_not_used_and_listed(desk, stamp, due, reasons):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_11("FREE1", "1009", flags="NY", stamp=stamp, due=due))
    assert answer.startswith("121N")
    lent = await loan(desk, "1009", "FREE1")
    assert lent.checked_out.year == 2026
    expected = "2026-04-01" if "due_date_ignored" not in reasons else "2026-03-31"
    assert lent.due.date().isoformat() == expected
    assert reviews(desk) == [("conflict", "11", "FREE1", "1009", "done", *reasons)]


@pytest.mark.parametrize("wrong", [FAR, ANCIENT, "20260230    250000", "2026031x    120000"])
async def test_no_date_on_the_wire_makes_anything_unanswerable(desk, wrong):
    kiosk = await desk.terminal("kiosk-1")
    lines = [
        ask_11("FREE1", "1009", "1009", flags="NY", stamp=wrong, due=wrong),
        ask_11("FREE2", "1009", "1009", flags="NY", stamp=EARLIER, due=wrong),
        ask_29("ABFREE2", "1009", "1009", flags="NY", stamp=EARLIER, due=wrong),
        ask_09("FREE2", no_block="Y", stamp=wrong, returned=wrong),
    ]
    for line in lines:
        assert (await kiosk.ask(line))[2] == "1"
    for item in ("FREE1", "FREE2"):
        assert fields(await kiosk.ask(ask_17(item)), "AJ", fixed=26) == [f"The {item}"]
    assert "|BLY|" in await kiosk.ask(ask_63("1009", "1009"))
    assert (await kiosk.ask(ask_09("FREE1")))[:3] == "101"
    assert desk.store.self_check() == []
    assert sum(desk.app.metrics.backend_errors.values()) == 0


async def test_zeros_and_blanks_are_no_dates(desk):
    """Terminals fill what they do not know in either way."""
    kiosk = await desk.terminal("kiosk-1")
    for item, due in (("FREE1", "0" * 18), ("FREE2", BLANK)):
        answer = await kiosk.ask(ask_11(item, "1009", flags="NY", stamp=EARLIER, due=due))
        assert answer.startswith("121N")
    assert [entry[0] for entry in reviews(desk)] == ["offline", "offline"]


async def test_a_cancellation_is_not_believed_to_have_happened(desk):
    kiosk = await desk.terminal("kiosk-1")
    cancels = ask_11("FREE1", "1009", "0000", flags="NY", stamp=EARLIER, extra="BIY|")
    assert (await kiosk.ask(cancels)).startswith("120")
    assert await kiosk.ask(f"17{STAMP}AOHUB|ABFREE1|")
    assert reviews(desk) == [("conflict", "11", "FREE1", "1009", "refused", "wrong_pin")]


async def test_a_renewal_off_line_goes_on_with_a_wrong_pin(desk):
    kiosk = await desk.terminal("kiosk-1")
    renews = ask_29("ABLENT1", "1002", "0000", flags="NY", stamp=EARLIER)
    assert (await kiosk.ask(renews)).startswith("301Y")
    assert reviews(desk) == [("conflict", "29", "LENT1", "1002", "done", "wrong_pin")]


async def test_98_says_off_line_only_where_something_can_happen_off_line(tmp_path):
    """C25."""
    only_asks = 'kind = "selfcheck"\nmessages = ["17", "63", "99"]'
    config = DESK_CONFIG.replace('kind = "selfcheck"', only_asks, 1)
    async with running(tmp_path, config=config, records=DESK_LIBRARY) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask("9900302.00")).startswith("98YNNNNN")
