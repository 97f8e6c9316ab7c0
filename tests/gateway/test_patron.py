"""Patron status and information on the wire (B18-B32): request bytes beside what they mean."""

from datetime import timedelta

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_63, fields, running

FIXED_24, FIXED_64 = 37, 61


async def test_a_member_with_a_right_pin(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001", "1001"))
    #                  14 blanks: nothing denied  language and time
    assert answer == (
        f"24              001{STAMP}AOHUB|AA1001|AEAnna Peeters|BLY|CQY|BHEUR|BV0.00|GLONBE|"
    )


@pytest.mark.parametrize(
    ("pin", "cq"), [("9999", ["N"]), ("", ["N"]), (None, [])], ids=["wrong", "empty", "absent"]
)
async def test_an_empty_pin_is_never_right_and_an_absent_one_is_not_wrong(gateway, pin, cq):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001", pin))
    assert fields(answer, "CQ", fixed=FIXED_24) == cq
    assert fields(answer, "BL", fixed=FIXED_24) == ["Y"]
    shown = fields(answer, "AE", fixed=FIXED_24) != [""]
    assert shown is (pin != "9999")  # a kiosk does not demand the PIN (C1, C20)


async def test_where_a_pin_is_required_none_shows_nothing(gateway):
    pay = await gateway.terminal("pay-1")
    for request in (ask_23("1002"), ask_23("1002", ""), ask_23("1002", "1234")):
        answer = await pay.ask(request)
        assert answer.startswith("24YYYY")
        assert "BLY|CQN" in answer
        assert "Tom" not in answer
        assert "BV" not in answer
        assert "GL" not in answer


async def test_b29_a_wrong_pin_is_told_in_the_patrons_language_unless_the_card_is_hidden(tmp_path):
    hiding = CONFIG.replace("[profiles.cash]", "[profiles.cash]\nwrong_pin_hides_card = true")
    async with running(tmp_path, config=hiding) as gateway:
        kiosk, pay = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        wrong = ask_23("1006", "0000", language="000")
        assert "|AFPas of pincode is niet juist.|" in await kiosk.ask(wrong)
        assert "|AFThis card is not known." in await pay.ask(wrong)


@pytest.mark.parametrize("card", ["", "4711", "1001R"], ids=["empty", "unknown", "replaced"])
async def test_an_unknown_or_replaced_card(gateway, card):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_63(card, "1001"))
    assert answer.startswith(f"64YYYY          001{STAMP}" + "0" * 24)
    assert f"AA{card}|AE|BLN|CQN|" in answer
    assert "Anna" not in answer


async def test_a_blocked_card_of_a_good_member_is_denied_everything(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001B", "1001"))
    assert answer.startswith("24YYYY ")
    assert "AA1001|" in answer  # the main card (B21)
    assert "BLY|CQY" in answer


async def test_five_wrong_pins_lock_the_card_and_the_lock_looks_like_a_wrong_pin(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    wrong = [await kiosk.ask(ask_23("1001", "0000")) for _ in range(5)]
    locked = await kiosk.ask(ask_23("1001", "1001"))
    assert {*wrong, locked} == {wrong[0]}
    assert gateway.metrics.pin_locks == 1
    gateway.clock.advance(15 * 60 + 1)
    assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))


async def test_many_wrong_pins_at_one_terminal_are_reported_and_nothing_more(tmp_path):
    config = CONFIG.replace("[security]", "[security]\nterminal_pin_failures_max = 4")
    async with running(tmp_path, config=config) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for card in ("1001", "1002", "1004", "1005"):
            await kiosk.ask(ask_23(card, "0000"))
        assert gateway.metrics.pin_locks == 1
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))


async def test_a_right_pin_resets_the_count_of_wrong_ones(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    for pin in ("0", "0", "0", "0", "1001", "0", "0", "0", "0", "1001"):
        answer = await kiosk.ask(ask_23("1001", pin))
    assert "CQY" in answer


async def test_over_the_limit_and_fetched_in_order_to_pay(gateway):
    pay = await gateway.terminal("pay-1")
    blocked = await pay.ask(ask_63("1004", "1004"))
    #                     charge, renewal, hold denied; excessive fines and fees
    assert blocked.startswith("64YY Y      YY  001")
    assert "EUR 12.50" in blocked
    assert "EUR 10.00" in blocked
    paying = await pay.ask(ask_63("1004", "1004", extra="FWB|"))
    assert paying.startswith("64              001")
    assert "AF" not in paying[FIXED_64:]
    for answer in (blocked, paying):
        assert "BV12.50|CC10.00|" in answer
    assert gateway.metrics.fee_limit_lifted == 1


async def test_fw_b_lifts_the_age_rule_but_no_other_block(gateway):
    pay = await gateway.terminal("pay-1")
    assert (await pay.ask(ask_63("1010", "1010"))).startswith("64YY Y      Y   001")
    assert (await pay.ask(ask_63("1010", "1010", extra="FWB|"))).startswith("64              001")
    assert (await pay.ask(ask_63("1008", "1008", extra="FWB|"))).startswith("64YYYY          001")


async def test_fw_b_means_nothing_where_no_money_is_taken_nor_with_another_value(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    pay = await gateway.terminal("pay-1")
    assert (await kiosk.ask(ask_63("1004", "1004", extra="FWB|"))).startswith("64YY Y")
    assert (await pay.ask(ask_63("1004", "1004", extra="FWA|"))).startswith("64YY Y")
    assert gateway.metrics.fee_limit_lifted == 0


async def test_near_the_limit_the_patron_is_warned(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_63("1011", "1011"))
    assert answer.startswith("64              001")
    (text,) = fields(answer, "AF", fixed=FIXED_64)
    assert "EUR 1.00" in text


async def test_counts_are_always_there_and_lists_when_asked(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_63("1001", "1001"))
    #                hold overdue charged fine recall unavailable
    assert answer[37:61] == "000100020003000000000001"
    assert fields(answer, "AU", fixed=FIXED_64) == []
    answer = await kiosk.ask(ask_63("1001", "1001", summary="YYY  Y    "))
    assert fields(answer, "AS", fixed=FIXED_64) == ["BOOK4"]
    assert fields(answer, "AT", fixed=FIXED_64) == ["BOOK1", "BOOK2"]
    assert fields(answer, "AU", fixed=FIXED_64) == ["BOOK1", "BOOK2", "BOOK3"]
    assert fields(answer, "CD", fixed=FIXED_64) == ["TI9"]


@pytest.mark.parametrize(
    ("paging", "listed"),
    [
        ("BP2|BQ3|", ["BOOK2", "BOOK3"]),
        ("BP2|", ["BOOK2", "BOOK3"]),
        ("BQ1|", ["BOOK1"]),
        ("BP0|BQ|", ["BOOK1", "BOOK2", "BOOK3"]),
        ("BPx|BQ-1|", ["BOOK1", "BOOK2", "BOOK3"]),
        ("BP9|BQ12|", []),
        ("BP3|BQ2|", []),
        ("BP000002|", ["BOOK2", "BOOK3"]),
        ("BP0000002|", ["BOOK1", "BOOK2", "BOOK3"]),
    ],
)
async def test_paging_is_one_based_and_inclusive(gateway, paging, listed):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_63("1001", "1001", summary="  Y       ", extra=paging))
    assert fields(answer, "AU", fixed=FIXED_64) == listed


async def test_languages_as_asked_then_the_patrons_then_the_terminals(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    english = await kiosk.ask(ask_63("1008", "1008", language="001"))
    french = await kiosk.ask(ask_63("1008", "1008", language="002"))
    unknown = await kiosk.ask(ask_63("1008", "1008", language="777"))
    assert "ask the staff" in english
    assert "ask the staff" not in french
    assert french.startswith("64YYYY          002")
    assert "ask the staff" in unknown
    assert unknown.startswith("64YYYY          777")


async def test_merged_kiosks_show_a_childs_fee_with_its_name(gateway):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_63("1001", "1001", summary="   Y      "))
    assert answer[49:53] == "0001"
    assert fields(answer, "BV", fixed=FIXED_64) == ["3.00"]
    assert fields(answer, "AV", fixed=FIXED_64) == ["T1 3.00 EUR 2026-03-01 Tom: Overdue"]
    assert "BV3.00" in await pay.ask(ask_23("1001", "1001"))


async def test_separate_kiosks_get_extension_fields(gateway):
    pay = await gateway.terminal("pay-2")
    answer = await pay.ask(ask_63("1001", "1001", summary="   Y      "))
    assert fields(answer, "BV", fixed=FIXED_64) == ["0.00"]
    assert fields(answer, "ZR", fixed=FIXED_64) == ["1002~Tom~head_of_family~3.00"]
    assert fields(answer, "ZF", fixed=FIXED_64) == ["T1~1002~3.00~04~2026-03-01~Overdue"]
    assert fields(answer, "AV", fixed=FIXED_64) == []
    authorised = await pay.ask(ask_63("1006", "1006"))
    assert fields(authorised, "ZR", fixed=FIXED_64) == ["1005~Bert~authorisation~5.00"]
    assert fields(authorised, "ZF", fixed=FIXED_64) == []


async def test_an_account_with_nothing_to_pay_is_not_listed_c37(tmp_path):
    records = [one for one in LIBRARY if one.get("id") != "T1"]
    async with running(tmp_path, records=records) as gateway:
        pay = await gateway.terminal("pay-2")
        answer = await pay.ask(ask_63("1001", "1001"))
        assert fields(answer, "BV", fixed=FIXED_64) == ["0.00"]
        assert fields(answer, "ZR", fixed=FIXED_64) == []


async def test_where_families_are_off_and_for_the_child_nothing_of_others_shows(gateway):
    alone, merged = await gateway.terminal("pay-3"), await gateway.terminal("pay-1")
    assert "BV0.00" in await alone.ask(ask_63("1001", "1001", summary="   Y      "))
    child = await merged.ask(ask_63("1002", "1002", summary="   Y      "))
    assert fields(child, "AV", fixed=FIXED_64) == ["T1 3.00 EUR 2026-03-01 Overdue"]


async def test_only_a_terminal_that_may_block_blocks_and_enables(gateway):
    kiosk, desk = await gateway.terminal("kiosk-1"), await gateway.terminal("desk-1")
    block = f"01N{STAMP}AOHUB|ALlost at the gate|AA1001|AC|"
    refused = await kiosk.ask(block)
    assert refused.startswith("24 ")
    assert "Anna" not in refused
    assert (await kiosk.ask(ask_23("1001", "1001"))).startswith("24 ")
    assert (await desk.ask(block)).startswith("24YYYY")
    assert (await kiosk.ask(ask_23("1001", "1001"))).startswith("24YYYY")
    assert (await kiosk.ask(f"25{STAMP}AOHUB|AA1001|AC|AD1001|")).startswith("26YYYY")
    assert (await desk.ask(f"25{STAMP}AOHUB|AA1001|AC|AD9999|")).startswith("26YYYY")
    assert (await desk.ask(f"25{STAMP}AOHUB|AA1001|AC|AD1001|")).startswith("26              ")


@pytest.mark.parametrize("card", ["4711", "1001R"], ids=["unknown", "replaced"])
async def test_blocking_a_card_that_is_nobodys_now_changes_nothing(gateway, card):
    kiosk, desk = await gateway.terminal("kiosk-1"), await gateway.terminal("desk-1")
    # 1001R was Anna's before she got 1001.
    answer = await desk.ask(f"01N{STAMP}AOHUB|AL|AA{card}|AC|")
    assert "BLN" in answer
    assert (await kiosk.ask(ask_23("1001", "1001"))).startswith("24 ")


async def test_where_cards_are_hidden_a_refused_01_answers_alike_to_every_card_c99(tmp_path):
    hiding = CONFIG.replace("[profiles.cash]", "[profiles.cash]\nwrong_pin_hides_card = true")
    async with running(tmp_path, config=hiding) as gateway:
        pay = await gateway.terminal("pay-1")
        anna = await pay.ask(f"01N{STAMP}AOHUB|AL|AA1001|AC|")
        nobody = await pay.ask(f"01N{STAMP}AOHUB|AL|AA4711|AC|")
        assert anna.startswith("24YYYY")
        assert anna == nobody.replace("4711", "1001")


async def test_a_25_with_a_wrong_pin_shows_nothing_and_says_why(gateway):
    desk = await gateway.terminal("desk-1")
    answer = await desk.ask(f"25{STAMP}AOHUB|AA1001|AC|AD9999|")
    # The four YYYY: nothing is allowed. BLY and CQN: there is such a card, with another PIN.
    assert answer == (
        f"26YYYY          000{STAMP}AOHUB|AA1001|AE|BLY|CQN|AFCard or PIN is not correct.|"
    )


async def test_a_session_always_ends(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    for card in ("1001", "4711"):
        answer = await kiosk.ask(f"35{STAMP}AOHUB|AA{card}|AC|ADwhatever|")
        assert answer == f"36Y{STAMP}AOHUB|AA{card}|"


async def test_a_loan_is_overdue_after_its_last_second_and_a_hold_ends_with_its_own_b28(tmp_path):
    #            holds overdue charged
    before, after = "0001" + "0002" + "0003", "0000" + "0003" + "0003"
    records = [dict(one) for one in LIBRARY if one.get("id") != "HO2"]
    for one in records:
        if one.get("id") == "HO1":
            one["expires"] = "2026-03-10"
    async with running(tmp_path, records=records) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        record = await gateway.store.find_by_card("1001")
        last = max(loan.due for loan in record.loans)
        (ends,) = {hold.expires for hold in record.holds}
        for moment, counts in ((min(last, ends) - timedelta(seconds=1), before), (last, None)):
            gateway.clock.at = moment.timestamp()
            answer = await kiosk.ask(ask_63("1001", "1001"))
            assert counts is None or answer[37:49] == counts
            assert answer[41:45] == "0002"
        gateway.clock.at = ends.timestamp()
        assert (await kiosk.ask(ask_63("1001", "1001")))[37:41] == "0000"
        gateway.clock.at = last.timestamp() + 1
        assert (await kiosk.ask(ask_63("1001", "1001")))[37:49] == after
