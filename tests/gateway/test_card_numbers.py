"""Card numbers as scanners give them, on the wire (B95, C112, C141)."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from desk import DESK_CONFIG, DESK_LIBRARY, ask_11, ask_17, copy
from harness import STAMP, ask_23, ask_37, ask_63, debt, fields, person, running

from sip2gw.authentication.identification import StoreIdentifier
from sip2gw.serving.explaining.answer import explain

LIBRARY = [
    *DESK_LIBRARY,
    person("5550001", "Rita Rules", cards=[{"number": "5550009", "state": "active"}]),
    person("77771716", "Sam Serial"),
    debt("R1", "5550001", "1.00"),
    copy("SHELF77"),
]

RULES = """
card_rules = [
  { rule = "strip_prefix", value = "A" }, { rule = "strip_suffix", value = "B" },
  { rule = "pad", value = 7 },
]
"""


@asynccontextmanager
async def at_a(directory, kind, options=RULES):
    config = f"""{DESK_CONFIG}
[profiles.special]
kind = "{kind}"
{options}
[terminals.special-1]
profile = "special"
branch = "MAIN"
password = "pw"
"""
    async with running(directory, config=config, records=LIBRARY) as gateway:
        yield await gateway.terminal("special-1"), gateway


def card_of(answer):
    (said,) = fields(answer, "AA", fixed=0)
    return said


async def test_the_number_that_the_rules_make_is_looked_up(tmp_path):
    async with at_a(tmp_path, "selfcheck") as (kiosk, _):
        answer = await kiosk.ask(ask_23("A5550001B", "5550001"))
        assert "|BLY|CQY|" in answer
        # A main card is told as the library knows it (B21).
        assert card_of(answer) == "5550001"
        assert card_of(await kiosk.ask(ask_63("A5550009B", "5550001"))) == "5550001"


@pytest.mark.parametrize("pin", ["wrong", "5550001"])
async def test_where_the_answer_is_as_scanned_it_is_so_before_the_rules_c112(tmp_path, pin):
    async with at_a(tmp_path, "auth") as (desk, _):
        for ask in (ask_23, ask_63):
            answer = await desk.ask(ask("A5550001B", pin))
            assert card_of(answer) == ("A5550001B" if pin == "wrong" else "5550001")
            unknown = await desk.ask(ask("A123B", pin))
            assert "|BLN|" in unknown
            assert card_of(unknown) == "A123B"


async def test_every_request_about_a_patron_takes_them(tmp_path):
    async with at_a(tmp_path, "selfcheck", f'payment_types = ["00"]\n{RULES}') as (kiosk, _):
        assert (await kiosk.ask(ask_11("SHELF77", "A5550001B"))).startswith("121")
        assert (await kiosk.ask(ask_37("A5550001B", "1.00", pin="5550001"))).startswith("38Y")
        refused = await kiosk.ask(ask_37("A5550001B", "9.00", pin="5550001"))
        assert refused.startswith("38N")
        assert card_of(refused) == "A5550001B"
        ended = await kiosk.ask(f"35{STAMP}AOHUB|AAA5550001B|")
        assert ended.startswith("36Y")
        assert card_of(ended) == "A5550001B"


async def test_the_log_has_the_scanned_number_as_pseudonym(tmp_path):
    async with at_a(tmp_path, "selfcheck") as (kiosk, gateway):
        await kiosk.ask(ask_23("A5550001B", "5550001"))
        shown = [line["card"] for line in gateway.logged() if line.get("message") == "23"]
        assert shown == [gateway.app.log.redactor.pseudonym("A5550001B")]


async def test_a_door_takes_the_serial_number_of_a_chip_c141(tmp_path):
    rules = 'card_rules = [{ rule = "reverse_bytes" }, { rule = "hex_to_decimal" }]'
    door = f'{rules}\n[profiles.special.door]\nrequire_badges = ["ONBE"]'
    async with at_a(tmp_path, "door", door) as (gate, _):
        answer = await gate.ask(ask_23("C4B3A204", "77771716"))
        assert "|BLY|CQY|GLONBE|" in answer
        wrong = await gate.ask(ask_23("C4B3A204", "wrong"))
        assert card_of(wrong) == "C4B3A204"


async def test_a_door_without_a_pin_says_an_unknown_card_as_scanned(tmp_path):
    door = f"{RULES}\n[profiles.special.door]\nrequire_pin = false"
    async with at_a(tmp_path, "door", door) as (gate, _):
        assert card_of(await gate.ask(ask_23("A999B"))) == "A999B"
        assert card_of(await gate.ask(ask_23("A5550001B"))) == "5550001"


async def test_an_exit_says_every_card_as_scanned(tmp_path):
    door = f'{RULES}\n[profiles.special.door]\ndirection = "out"'
    async with at_a(tmp_path, "door", door) as (gate, _):
        for scanned in ("A999B", "A5550001B"):
            assert card_of(await gate.ask(ask_23(scanned))) == scanned


async def test_a_01_without_a_pin_echoes_what_was_scanned(tmp_path):
    async with at_a(tmp_path, "selfcheck", f"may_block_patrons = true\n{RULES}") as (kiosk, _):
        answer = await kiosk.ask(f"01N{STAMP}AOHUB|ALlost|AAA5550001B|AC|")
        assert card_of(answer) == "A5550001B"
        assert "BLY" in answer


async def test_explain_shows_what_each_rule_makes_of_the_number(tmp_path):
    async with at_a(tmp_path, "auth") as (_, gateway):
        site = gateway.app.gateway.site
        view = site.by_name["special-1"].view
        told = await explain(site, gateway.store, view, " A5550001B ")
        (card,) = [check.detail for check in told.checks if check.check == "card"]
        assert card == (
            "strip_prefix A: A5550001B -> 5550001B; strip_suffix B: 5550001B -> 5550001;"
            " pad 7: 5550001 -> 5550001; a card of patron 5550001"
        )
        assert card_of((await explain(site, gateway.store, view, "A99B")).answer) == "A99B"


async def test_one_card_s_number_is_never_told_about_another(tmp_path):
    """What was scanned last is not remembered beyond its request."""
    async with at_a(tmp_path, "auth") as (desk, _):
        await desk.ask(ask_23("A5550001B", "wrong"))
        assert card_of(await desk.ask(ask_23("5550001", "wrong"))) == "5550001"


async def test_a_request_that_fails_echoes_what_was_scanned(tmp_path, monkeypatch):
    async with at_a(tmp_path, "auth") as (desk, _):

        async def broken(*_given):
            await asyncio.sleep(0)
            raise RuntimeError("bug")

        monkeypatch.setattr(StoreIdentifier, "identify", broken)
        assert card_of(await desk.ask(ask_23("A5550001B", "5550001"))) == "A5550001B"


@pytest.mark.parametrize("kind", ["selfcheck", "door"])
@pytest.mark.parametrize("card", [" 5550001", "5550001  ", "  5550001 "])
async def test_blanks_around_a_card_never_count(tmp_path, kind, card):
    async with at_a(tmp_path, kind, "") as (terminal, _):
        for ask in (ask_23, ask_63):
            answer = await terminal.ask(ask(card, "5550001"))
            assert "|BLY|CQY|" in answer


async def test_blanks_around_an_item_never_count(tmp_path):
    async with at_a(tmp_path, "selfcheck", "") as (kiosk, _):
        assert fields(await kiosk.ask(ask_17(" SHELF77 ")), "AB", fixed=26) == ["SHELF77"]
        assert (await kiosk.ask(ask_11("SHELF77  ", " 5550001"))).startswith("121")
