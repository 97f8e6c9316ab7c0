"""The options of a profile, each once over a real socket (C86)."""

from contextlib import asynccontextmanager

import pytest
from desk import DESK_CONFIG, DESK_LIBRARY, EARLIER, ask_09, ask_11, ask_17, ask_29, copy, lent
from harness import ask_23, ask_37, ask_63, debt, fields, person, running

from sip2gw.handlers import base

LIBRARY = [
    *DESK_LIBRARY,
    person(
        "1030",
        "Kim Options",
        home_branch="MAIN",
        email="kim@example.org",
        address="Street 1 | Box 2",
    ),
    debt("K1", "1030", "2.50", description="Late", item="FREE1"),
    debt("K2", "1030", "1.00", type="06", created="2026-03-02"),
    person("1031", "Lea Late"),
    copy("LATE9"),
    lent("LATE9", "1031", due="2026-03-05"),
    person("1032", "Mo Lost"),
    copy("LOST1", status="lost"),
    lent("LOST1", "1032", due="2026-04-05"),
    copy("MAP1", attachment="a map", material="MAP", shelf="7", call_number="F 12", author="Ruys"),
    copy("NEWS1", material="NEWS", note="look"),
    lent("NEWS1", "1009"),
    copy("MOVING1", status="in_transit"),
    {"kind": "badge", "code": "QUIET", "name": "Quiet room"},
    person(
        "1033",
        "Nia Full",
        membership="202",
        email="nia@example.org",
        phone="02 123 45 67",
        address="Street 3",
        badges=["ONBE", "QUIET"],
        notices=["A letter is here."],
    ),
    *(copy(f"MANY{number}") for number in range(3)),
    *(lent(f"MANY{number}", "1033") for number in range(3)),
]


@asynccontextmanager
async def with_options(directory, options, kind="selfcheck"):
    """A terminal whose profile has `options`, and its gateway."""
    config = f"""{DESK_CONFIG}
[profiles.special]
kind = "{kind}"
{options}
[terminals.special-1]
profile = "special"
branch = "MAIN"
password = "pw"
"""
    named = config.replace("[branches.EAST]", '[branches.EAST]\nname = "East End"')
    async with running(directory, config=named, records=LIBRARY) as gateway:
        yield await gateway.terminal("special-1"), gateway


def said(answer, tag):
    return fields(answer, tag, fixed=0) or [
        part.partition(tag)[2] for part in answer.split("|")[:1] if tag in part
    ]


async def ask_one(directory, options, request, kind="selfcheck"):
    async with with_options(directory, options, kind) as (terminal, _):
        return await terminal.ask(request)


# What is said -------------------------------------------------------------------------------------


async def test_templates_shape_names_and_fees(tmp_path):
    options = """
template_ae = "{first_word} ({card}, {home_branch}, {owed})"
template_av = "{fee}: {description} {title} {amount}{currency} {date} {type}"
template_da = "{first_word}/{card}"
"""
    async with with_options(tmp_path, options) as (kiosk, _):
        answer = await kiosk.ask(ask_63("1030", "1030", summary="   Y      "))
        assert said(answer, "AE") == ["Kim (1030, MAIN, EUR 3.50)"]
        assert said(answer, "AV") == [
            "K1: Late The FREE1 2.50EUR 2026-03-01 04",
            "K2: 1.00EUR 2026-03-02 06",
        ]
        assert said(await kiosk.ask(ask_09("QUEUED1")), "DA") == ["Tom/1002"]


async def test_a_template_is_no_way_around_a_wrong_pin_b19(tmp_path):
    options = """
personal_fields = ["BE"]
template_ae = "{email}"
custom_patron_fields = [{ field = "XP", template = "{email}" }]
show_home_branch = true
show_owed_amount = true
"""
    async with with_options(tmp_path, options) as (kiosk, _):
        for request in (ask_23("1030", "0000"), ask_63("1030", "0000"), ask_23("4711", "1")):
            answer = await kiosk.ask(request)
            assert said(answer, "AE") == [""]
            assert "kim@" not in answer
            assert "XP" not in answer
            assert len(said(answer, "AF")) == 1


async def test_a_template_tells_no_title_of_another_debtors_item_b53(tmp_path):
    options = 'template_av = "{label} {description} {title}"\nfamily = "merged"'
    records = [*LIBRARY, debt("T9", "1002", "1.00", description="Late: The LENT1", item="LENT1")]
    config = f"""{DESK_CONFIG}
[profiles.special]
kind = "payment"
{options}
[terminals.special-1]
profile = "special"
branch = "MAIN"
password = "pw"
"""
    async with running(tmp_path, config=config, records=records) as gateway:
        terminal = await gateway.terminal("special-1")
        answer = await terminal.ask(ask_63("1001", "1001", summary="   Y      "))
        assert said(answer, "AV") == ["Tom Overdue", "Tom Late:"]


async def test_screen_texts_are_rewritten_letter_by_letter(tmp_path):
    options = """
rewrite_screen_texts = [
  { find = "This item is not known.", replace = "?" },
  { find = " Please ask the staff.", replace = "" },
]
"""
    assert said(await ask_one(tmp_path, options, ask_17("NOPE")), "AF") == ["?"]


async def test_custom_fields_about_a_patron(tmp_path):
    options = """
personal_fields = ["BD", "PB"]
custom_patron_fields = [
  { field = "XP", template = "{address}" }, { field = "XQ", template = "{language}" },
  { field = "XR", template = "until {membership_until}, born {birth_date}" },
]
"""
    async with with_options(tmp_path, options) as (kiosk, _):
        for request in (ask_23("1030", "1030"), ask_63("1030", "1030")):
            answer = await kiosk.ask(request)
            assert answer.endswith("|XPStreet 1   Box 2|XRuntil 31/12/2026, born 01/05/1980|")


async def test_custom_fields_about_an_item(tmp_path):
    options = """
custom_item_fields = [
  { field = "XI", template = "{author}: {title}" }, { field = "XJ", template = "{attachment}" },
]
"""
    async with with_options(tmp_path, options) as (kiosk, _):
        for request in (
            ask_17("MAP1"),
            ask_11("MAP1", "1009", "1009"),
            ask_29("ABMAP1", "1009", "1009"),
            ask_09("MAP1"),
        ):
            assert (await kiosk.ask(request)).endswith("|XIRuys: The MAP1|XJa map|")
        assert "XI" not in await kiosk.ask(ask_17("NOPE"))


@pytest.mark.parametrize("filter_", ['hide_fields = ["XI"]', 'allow_fields = ["XJ"]'])
async def test_hidden_custom_fields_stay_away(tmp_path, filter_):
    options = f"""
custom_item_fields = [{{ field = "XI", template = "a" }}, {{ field = "XJ", template = "b" }}]
{filter_}
"""
    answer = await ask_one(tmp_path, options, ask_17("FREE1"))
    assert answer.endswith("|XJb|")
    assert "XI" not in answer


async def test_control_characters_become_what_the_profile_says(tmp_path):
    options = 'convert_control_characters = "_"\npersonal_fields = ["BD"]'
    answer = await ask_one(tmp_path, options, ask_63("1030", "1030"))
    assert said(answer, "BD") == ["Street 1 _ Box 2"]


async def test_home_branch_and_owed_amount_are_shown(tmp_path):
    options = "show_home_branch = true\nshow_owed_amount = true"
    async with with_options(tmp_path, options) as (kiosk, _):
        told = said(await kiosk.ask(ask_23("1030", "1030")), "AF")
        assert told == ["You owe EUR 3.50.", "Your library: MAIN."]
        assert said(await kiosk.ask(ask_23("1009", "1009")), "AF") == []


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ('"BD"', "BDStreet 3|"),
        ('"BE"', "BEnia@example.org|"),
        ('"BF"', "BF02 123 45 67|"),
        ('"PB"', "PB19800501|"),
        ('"PC"', "PC202|"),
    ],
)
async def test_each_personal_field_is_told_where_the_profile_names_it_b30(tmp_path, named, told):
    others = {"|BD", "|BE", "|BF", "|PB", "|PC"} - {f"|{told[:2]}"}
    answer = await ask_one(tmp_path, f"personal_fields = [{named}]", ask_63("1033", "1033"))
    assert f"|{told}" in answer
    assert [tag for tag in others if tag in answer] == []


async def test_badges_are_joined_where_the_profile_has_a_separator_b22(tmp_path):
    options = 'badge_separator = ","'
    async with with_options(tmp_path, options) as (kiosk, _):
        assert said(await kiosk.ask(ask_23("1033", "1033")), "GL") == ["ONBE,QUIET"]
        assert said(await kiosk.ask(ask_23("1009", "1009")), "GL") == []


@pytest.mark.parametrize(
    ("options", "more"), [("", []), ("staff_notices = true", ["A letter is here."])]
)
async def test_too_many_items_are_told_and_by_profile_notices_of_the_staff(tmp_path, options, more):
    """B32: the membership allows two items, three are on loan."""
    answer = await ask_one(tmp_path, options, ask_23("1033", "1033"))
    #                       no loans, and why
    assert answer.startswith("24Y    Y        ")
    assert said(answer, "AF") == ["You have reached your maximum number of loans.", *more]


# Checkout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "request_", "text"),
    [
        (
            'blocked_material_types = ["M*"]',
            ask_11("MAP1", "1009", "1009"),
            "This kind of item is not handled here. Please ask the staff.",
        ),
        (
            "lend_with_attachment = false",
            ask_11("MAP1", "1009", "1009"),
            "Something belongs to this item. Please ask the staff.",
        ),
        (
            "overdues_block_checkout = true",
            ask_11("FREE1", "1031", "1031"),
            "You have overdue items. Please return them first.",
        ),
        (
            "lost_block_checkout = 1",
            ask_11("FREE1", "1032", "1032"),
            "You have lost items. Please ask the staff.",
        ),
    ],
)
async def test_an_option_refuses_a_loan_that_is_made_without_it(tmp_path, option, request_, text):
    async with with_options(tmp_path, option) as (kiosk, gateway):
        answer = await kiosk.ask(request_)
        assert answer.startswith("120N")
        assert said(answer, "AF") == [text]
        usual = await gateway.terminal("kiosk-1")
        assert (await usual.ask(request_)).startswith("121N")


async def test_what_is_lost_stays_lost_when_its_loan_is_renewed(tmp_path):
    """In the snapshot that is kept, too (B56), and for item information (B60)."""
    async with with_options(tmp_path, "lost_block_checkout = 1") as (kiosk, _):
        assert (await kiosk.ask(ask_29("ABLOST1", "1032", "1032"))).startswith("301Y")
        assert (await kiosk.ask(ask_11("FREE1", "1032", "1032"))).startswith("120N")
        answer = await kiosk.ask(ask_17("LOST1"))
        assert answer.startswith("1812")
        assert said(answer, "AH")


@pytest.mark.parametrize(
    "option", ['in_house_material_types = ["MAP"]', 'in_house_memberships = ["201"]']
)
async def test_what_stays_in_the_house_keeps_its_security_marker(tmp_path, option):
    async with with_options(tmp_path, option) as (kiosk, gateway):
        assert (await kiosk.ask(ask_11("MAP1", "1009", "1009"))).startswith("121NNN")
        usual = await gateway.terminal("kiosk-1")
        assert (await usual.ask(ask_11("FREE1", "1009", "1009"))).startswith("121NNY")


async def test_the_due_date_as_people_write_it(tmp_path):
    async with with_options(tmp_path, 'due_date_format = "library"\nlanguage = "nl"') as (kiosk, _):
        assert said(await kiosk.ask(ask_11("FREE1", "1009", "1009")), "AH") == ["31-03-2026"]
        assert said(await kiosk.ask(ask_17("FREE1")), "AH") == ["31-03-2026"]
        off_line = ask_11("FREE2", "1009", flags="NY", stamp=EARLIER, due="20260320    120000")
        assert said(await kiosk.ask(off_line), "AH") == ["20-03-2026 12:00"]


CONFIRMS = """confirm_previously_borrowed = true
[privacy]
loan_history_days = 30
"""
BORROWED_BEFORE = "You have borrowed this before. Present it again to borrow it."


def stamp(number):
    return f"20260310    1200{number:02}"


async def has_had(gateway, item, card="1009"):
    usual, sorter = await gateway.terminal("kiosk-1"), await gateway.terminal("sorter-1")
    assert (await usual.ask(ask_11(item, card, card, extra="BOY|"))).startswith("121")
    assert (await sorter.ask(ask_09(item))).startswith("101")


async def test_what_was_borrowed_before_is_lent_when_it_is_presented_again(tmp_path):
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        await has_had(gateway, "FREE1")
        assert (await kiosk.ask(ask_11("FREE2", "1009", "1009"))).startswith("121N")
        assert (await kiosk.ask(ask_11("FREE1", "1002", "1002"))).startswith("121N")
        await (await gateway.terminal("sorter-1")).ask(ask_09("FREE1", stamp=stamp(2)))
        for number in (3, 3, 4):  # the second is a retry, and no answer
            gateway.clock.advance(1)
            answer = await kiosk.ask(ask_11("FREE1", "1009", "1009", stamp=stamp(number)))
            assert answer.startswith("121N" if number == 4 else "120N")
            assert said(answer, "AF") == ([] if number == 4 else [BORROWED_BEFORE])


async def test_an_answer_counts_for_two_minutes_and_for_that_item_and_card_only(tmp_path):
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        for item in ("FREE1", "FREE3"):
            await has_had(gateway, item)

        async def lends(item, number, card="1009"):
            answer = await kiosk.ask(ask_11(item, card, card, stamp=stamp(number)))
            return answer.startswith("121")

        assert not await lends("FREE1", 1)
        assert not await lends("FREE3", 2)
        gateway.clock.advance(119)
        assert await lends("FREE3", 3)
        gateway.clock.advance(1)
        assert not await lends("FREE1", 4)
        other = await gateway.terminal("special-1")
        answer = await other.ask(ask_11("FREE1", "1009", "1009", stamp=stamp(5)))
        assert answer.startswith("120"), "a new session was not asked"


async def test_the_question_comes_before_that_about_the_fee(tmp_path):
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        await has_had(gateway, "PAID1")
        asked = [
            await kiosk.ask(ask_11("PAID1", "1009", "1009", stamp=stamp(number), extra=extra))
            for number, extra in ((1, ""), (2, ""), (3, "BOY|"))
        ]
    assert [answer[:3] for answer in asked] == ["120", "120", "121"]
    assert said(asked[0], "AF") == [BORROWED_BEFORE]
    assert said(asked[1], "AF") == ["This costs EUR 1.50. Please confirm."]


async def test_what_happened_off_line_and_usual_machines_ask_nothing(tmp_path):
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        for item in ("FREE1", "FREE3"):
            await has_had(gateway, item)
        off_line = ask_11("FREE1", "1009", flags="NY", stamp=EARLIER)
        assert (await kiosk.ask(off_line)).startswith("121N")
        not_believed = ask_11("FREE3", "1009", "1009", flags="NY", stamp=stamp(1))
        assert said(await kiosk.ask(not_believed), "AF") == [BORROWED_BEFORE]
        usual = await gateway.terminal("kiosk-1")
        assert (await usual.ask(ask_11("FREE3", "1009", "1009", stamp=stamp(1)))).startswith("121N")


async def test_loans_are_forgotten_after_the_days_of_the_configuration(tmp_path):
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        for item in ("FREE1", "FREE3"):
            await has_had(gateway, item)
        gateway.clock.advance(30 * 86_400)
        answer = await kiosk.ask(ask_11("FREE1", "1009", "1009", stamp=stamp(1)))
        assert answer.startswith("121N")
        await gateway.app.maintain()
        assert await gateway.store.forget_loans(gateway.clock.now()) == 0
        assert gateway.logged()[-1]["loans_forgotten"] == 2


async def test_questions_of_a_session_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "ASKED_MAX", 1)
    async with with_options(tmp_path, CONFIRMS) as (kiosk, gateway):
        for item in ("FREE1", "FREE3"):
            await has_had(gateway, item)
        told = [
            (await kiosk.ask(ask_11(item, "1009", "1009", stamp=stamp(number))))[:3]
            for number, item in enumerate(("FREE1", "FREE3", "FREE1", "FREE1"))
        ]
    assert told == ["120", "120", "120", "121"]


# Checkin ------------------------------------------------------------------------------------------


async def test_a_sorter_is_told_the_bin(tmp_path):
    options = """
checked_in_ok = true
sort_bins = [
  { field = "alert_type", value = "02", bin = "2" },
  { branch = "EAST", field = "material", value = "MAP", bin = "9" },
  { branch = "MAIN", field = "shelf", comparator = "lt", value = "10", bin = "7" },
  { field = "material", value = "DVD", bin = "3" },
]
"""
    async with with_options(tmp_path, options, "sorter") as (sorter, _):
        bins = {
            item: said(await sorter.ask(ask_09(item)), "CL")
            for item in ("QUEUED2", "MAP1", "EAST1", "FREE1")
        }
    assert bins == {"QUEUED2": ["2"], "MAP1": ["7"], "EAST1": ["3"], "FREE1": []}


@pytest.mark.parametrize(
    ("option", "item"),
    [
        ('refuse_checkin = ["in_transit"]', "MOVING1"),
        ('refuse_checkin = ["note"]', "NEWS1"),
        ('refuse_checkin = ["not_on_loan"]', "MOVING1"),
        ('checked_in_ok = true\nrefuse_checkin = ["reference"]', "REF1"),
        ('refuse_checkin = ["reserved"]', "QUEUED1"),
        ('refuse_checkin_material_types = ["N*"]', "NEWS1"),
    ],
)
async def test_an_option_refuses_a_return_that_is_taken_without_it(tmp_path, option, item):
    async with with_options(tmp_path, option, "sorter") as (sorter, gateway):
        answer = await sorter.ask(ask_09(item))
        assert answer.startswith("100N")
        assert said(answer, "AF")[0].endswith("Please ask the staff.") or "not on loan" in answer
        usual = await gateway.terminal("sorter-1")
        assert (await usual.ask(ask_09(item))).startswith("101")


async def test_a_hold_is_left_to_people(tmp_path):
    async with with_options(tmp_path, "capture_holds = false", "sorter") as (sorter, gateway):
        answer = await sorter.ask(ask_09("QUEUED1"))
        assert answer[5] == "Y"
        assert (said(answer, "CV"), said(answer, "CY")) == (["01"], ["1002"])
        tom = await gateway.store.find_patron("1002")
        assert not next(hold for hold in tom.holds if hold.id == "HQ1").ready


async def test_a_hold_travels_to_the_shelf(tmp_path):
    async with with_options(tmp_path, "hold_as_transit = true", "sorter") as (sorter, gateway):
        answer = await sorter.ask(ask_09("QUEUED1"))
        assert (said(answer, "CV"), said(answer, "CT")) == (["01"], ["MAIN"])
        tom = await gateway.store.find_patron("1002")
        assert not next(hold for hold in tom.holds if hold.id == "HQ1").ready
        shelf = await gateway.terminal("kiosk-1")
        answer = await shelf.ask(ask_09("QUEUED1"))
        assert (said(answer, "CV"), said(answer, "CT")) == (["01"], [])
        tom = await gateway.store.find_patron("1002")
        assert next(hold for hold in tom.holds if hold.id == "HQ1").ready


async def test_what_a_sorter_is_told_of_an_ordinary_return(tmp_path):
    options = """
checked_in_ok = true
cr_item_field = "shelf"
send_ct = "always"
cv_on_success = true
show_checkin_message = true
"""
    async with with_options(tmp_path, options, "sorter") as (sorter, _):
        answer = await sorter.ask(ask_09("MAP1"))
        assert answer[:6] == "101YNN"
        assert [said(answer, tag) for tag in ("CR", "CT", "CV", "AF")] == [
            ["7"],
            [""],
            ["00"],
            ["Shelve at: 7 F 12."],
        ]
        answer = await sorter.ask(ask_09("EAST1"))
        assert [said(answer, tag) for tag in ("CT", "CV", "AF")] == [
            ["EAST"],
            ["00"],
            ["Send to: East End."],
        ]
        answer = await sorter.ask(ask_09("QUEUED1"))
        assert [said(answer, tag) for tag in ("CT", "CV", "AF")] == [
            [""],
            ["01"],
            ["Reserved: please set aside."],
        ]
        assert said(await sorter.ask(ask_09("FREE1")), "AF") == []


# Money --------------------------------------------------------------------------------------------


def accounts(gateway):
    with gateway.store.snapshot() as connection:
        statement = (
            "SELECT account, SUM(amount) FROM ledger_entry WHERE account NOT LIKE 'fee:%'"
            " AND account <> 'opening' GROUP BY account ORDER BY account"
        )
        return [tuple(row) for row in connection.execute(statement)]


async def test_money_goes_to_the_register_and_a_write_off_to_none(tmp_path):
    options = """
payment_types = ["00", "06"]
write_off_payment_type = "06"
register_id = "desk"
"""
    async with with_options(tmp_path, options, "payment") as (till, gateway):
        paid = await till.ask(ask_37("1030", "2.50", pin="1030", fee="K1", bk="b1"))
        assert said(paid, "AF") == ["EUR 2.50 has been paid. Thank you.", "Still to pay: EUR 1.00."]
        waived = ask_37("1030", "1.00", pin="1030", fee="K2", bk="b2", kind="06")
        first = await till.ask(waived)
        assert first.startswith("38Y")
        assert said(first, "AF") == ["EUR 1.00 has been waived."]
        assert await (await gateway.terminal("special-1")).ask(waived) == first
        assert accounts(gateway) == [("till:desk:00", 250), ("write_off:special-1", 100)]
        assert gateway.store.self_check() == []
