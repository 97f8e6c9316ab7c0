"""`explain` in front of a library system: it is asked once, without a PIN, and its answer shown."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from behind import DIALECTS, Dialect, badges_of, behind, config_in_front
from harness import CONFIG, LIBRARY, load, person
from orders import saying, settling
from scripted_library import scripted

from sip2gw.backend.base import Begun, PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.cli.failures import CommandError
from sip2gw.cli.gateway.explain import _explain, _write_json, _write_text
from sip2gw.config import load_config
from sip2gw.model import DoorEntry
from sip2gw.model.journal import JournalEntry
from sip2gw.model.shares import Kept, Share
from sip2gw.policy.explaining.asking import Message, Wanted
from sip2gw.policy.upstream.questions import spelling

DIALECT = DIALECTS["UTF-8 without checksums"]
NOON = "2026-03-10 12:00"
NOON_THERE = datetime(2026, 3, 10, 11, tzinfo=UTC)


@pytest.fixture
async def library_system(tmp_path):
    async with behind(tmp_path, DIALECT, config=CONFIG, records=LIBRARY) as gateway:
        yield gateway


async def in_front_of(directory, address, config=CONFIG):
    """A configuration, and a store that knows of the library only who has which badge."""
    file = directory / "sip2gw.toml"
    file.write_text(config_in_front(DIALECT, address, config))
    settings = load_config(file)
    store = open_backend(settings, "command", "make").store
    load(store, list(badges_of(LIBRARY)))
    await store.close()
    return settings


@pytest.fixture
async def config(tmp_path, library_system):
    return await in_front_of(tmp_path, library_system.address)


async def test_a_door_is_explained_by_what_the_library_system_says(config, library_system):
    asked_before = library_system.metrics.requests.total()
    explained = await _explain(config, Wanted("door-1", "1002", at=NOON))
    assert explained.reason == "under_age"
    results = {check.check: check.result for check in explained.checks}
    assert (results["badge"], results["membership"], results["age"]) == ("ok", "ok", "refused")
    # 93, 99 and one question, although the handler and the checks both want to know.
    assert library_system.metrics.requests.total() - asked_before == 3


async def test_a_bar_of_a_number_that_nobody_has_here_is_explained(config, library_system):
    """B34: the door would refuse."""
    load(library_system.store, [person("4711", "Sam Stranger", badges=["ONBE"])])
    store = open_backend(config, "command", "write").store
    await store.put_door_entry(DoorEntry("bar", "MAIN", "4711"))
    await store.close()
    explained = await _explain(config, Wanted("door-1", "4711", at=NOON))
    results = {check.check: check.result for check in explained.checks}
    assert results["bar"] == "refused"


async def test_an_answer_that_has_just_come_is_no_old_data(tmp_path, library_system):
    """C138: nobody need ever have imported."""
    config = CONFIG.replace("max_fee_age_days = 49", "data_max_age_h = 1")
    settings = await in_front_of(tmp_path, library_system.address, config)
    explained = await _explain(settings, Wanted("door-1", "1001", at=NOON))
    assert explained.reason == "granted"


async def test_what_they_say_both_ways_is_no_yes(tmp_path):
    """C121, C158: BL twice, once N. The door does not know the card."""
    status = b"              00020260310    120000" + b"0000" * 6
    answer = b"64" + status + b"AOHUB|AA1001|AEAnna|BLY|BLN|"
    async with scripted(lambda body: answer) as library:
        file = tmp_path / "sip2gw.toml"
        file.write_text(config_in_front(Dialect("", ""), library.address))
        settings = load_config(file)
        await open_backend(settings, "command", "make").store.close()
        explained = await _explain(settings, Wanted("door-1", "1001", at=NOON))
    assert explained.reason == "unknown_card"


async def test_the_pass_of_whom_only_our_store_knows(tmp_path, library_system):
    """B34: it goes before the calendar; then the library system does not know the card."""
    lists = """[branches.MAIN]
pass = [{ card = "4711" }]
exceptions = [{ date = 2026-03-10, state = "closed" }]"""
    config = CONFIG.replace("[branches.MAIN]", lists)
    settings = await in_front_of(tmp_path, library_system.address, config)
    store = open_backend(settings, "command", "write").store
    load(store, [{"kind": "patron", "id": "4711", "name": "Cleaner"}])
    await store.close()
    assert (await _explain(settings, Wanted("door-1", "4711", at=NOON))).reason == "unknown_card"
    assert (await _explain(settings, Wanted("door-1", "4712", at=NOON))).reason == "closed"


async def test_their_answer_is_shown_but_for_personal_data(config, capsys):
    explained = await _explain(config, Wanted("kiosk-1", "1001", Message.PATRON_INFORMATION, NOON))
    told = "\n".join(explained.library)
    assert explained.library[0].startswith("64 ")
    assert "Anna Peeters" in told  # AE, which the terminal is shown as well
    assert "anna@example.org" not in told
    assert "19800501" not in told
    assert "  XU membership_until: 31/12/2026" in told  # as the account's facts call it
    _write_json(explained)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["library_system"] == list(explained.library)
    _write_text(explained)
    assert "The library system answered:\n  64 " in capsys.readouterr().out


async def test_a_field_that_says_two_facts_is_called_like_both(tmp_path, library_system):
    settings = await in_front_of(tmp_path, library_system.address)
    text = settings.path.read_text()
    facts = "[backend.sip2.facts]\n"
    assert facts in text
    settings.path.write_text(text.replace(facts, f'{facts}home_branch = {{ field = "XU" }}\n'))
    explained = await _explain(
        load_config(settings.path), Wanted("kiosk-1", "1001", Message.PATRON_INFORMATION, NOON)
    )
    assert "  XU membership_until, home_branch: 31/12/2026" in explained.library


async def test_an_unknown_card_is_explained_too(config):
    explained = await _explain(config, Wanted("kiosk-1", "4711", at=NOON))
    assert explained.reason == "unknown_card"
    assert "BLN" in explained.answer


async def test_nothing_is_recorded_and_no_pin_goes_up(config, library_system, tmp_path):
    seen = []
    inner = library_system.app.gateway.services.identifier.identify

    async def identify(session, number, pin):
        seen.append(pin)
        return await inner(session, number, pin)

    library_system.app.gateway.services.identifier.identify = identify
    await _explain(config, Wanted("door-1", "1001", at=NOON))
    assert seen == [None]
    store = open_backend(config, "command").store
    assert store.access_rows() == []
    await store.close()


async def test_a_library_system_that_is_away_is_a_failure_with_a_next_step(tmp_path):
    config = await in_front_of(tmp_path, ("127.0.0.1", 1))
    with pytest.raises(CommandError, match="sip2gw upstream check"):
        await _explain(config, Wanted("door-1", "1001", at=NOON))


async def test_an_answer_about_another_number_is_named(tmp_path):
    """C151."""
    status = b"              00020260310    120000" + b"0000" * 6
    async with scripted(lambda body: b"64" + status + b"AOHUB|AAP17|AEJan|BLY|") as library:
        file, keys = tmp_path / "sip2gw.toml", config_in_front(Dialect("", ""), library.address)
        file.write_text(keys.replace("aliases = true", "aliases = false"))
        settings = load_config(file)
        await open_backend(settings, "command", "make").store.close()
        with pytest.raises(CommandError, match="set aliases = true"):
            await _explain(settings, Wanted("kiosk-1", "1001", at=NOON))


async def test_a_terminal_that_is_observed_is_told_what_it_would_be_told(tmp_path, library_system):
    observed = CONFIG.replace("[profiles.entrance]", "[profiles.entrance]\nobserve = true")
    config = await in_front_of(tmp_path, library_system.address, observed)
    explained = await _explain(config, Wanted("door-1", "1002", at=NOON))
    assert explained.reason == "under_age"


async def test_what_others_owe_is_in_the_answer_of_a_kiosk_that_shows_families(
    tmp_path, library_system
):
    """Anna owes nothing, her son 3.00; only our store knows that he is hers (B52)."""
    settings = await in_front_of(tmp_path, library_system.address)
    store = open_backend(settings, "command").store
    load(store, [one for one in LIBRARY if one["kind"] != "fee"])
    await store.close()
    explained = await _explain(settings, Wanted("pay-1", "1001", Message.PATRON_INFORMATION, NOON))
    assert "BV3.00|" in explained.answer
    assert "Tom" not in "".join(explained.library), "what is said of him is not shown"


async def test_what_was_paid_here_is_left_out(config):
    """C124: as at the terminal, though the library system was not told yet."""
    before = await _explain(config, Wanted("kiosk-1", "1004", Message.PATRON_INFORMATION, NOON))
    assert "|BV12.50|" in before.answer
    store = open_backend(config, "command").store
    shares = [Share("1004", "1004", "own", 450, kept=Kept.SUM)]
    at = datetime(2026, 3, 10, 10, tzinfo=UTC)
    what = ("pay-1", "B1", "x", "1004", 450, "EUR", "00", "B1", at, at + timedelta(days=30))
    order = PaymentOrder(*what, case=settling(), texts=saying("Thank you"))
    begun = await store.begin_shares(order, "default", shares, (), {})
    assert isinstance(begun, Begun)
    await store.book_kept(begun.payment_id, at)
    await store.close()
    after = await _explain(config, Wanted("kiosk-1", "1004", Message.PATRON_INFORMATION, NOON))
    assert "|BV8.00|" in after.answer
    assert any("12.50" in line for line in after.library)  # what they said


# Items: what changes something there does not go up


async def test_a_loan_is_not_asked_for_and_what_a_17_says_is_shown(config, library_system, capsys):
    asked_before = dict(library_system.metrics.requests)
    explained = await _explain(config, Wanted("kiosk-1", "1001", Message.CHECKOUT, NOON, "BOOK4"))
    sent = {code for code, _, _ in set(library_system.metrics.requests) - set(asked_before)}
    assert "11" not in sent
    assert (explained.decision, explained.reason, explained.answer) == ("unknown", "upstream", "")
    results = {check.check: check.result for check in explained.checks}
    assert (results["card"], results["item"]) == ("ok", "skipped")
    assert explained.would_ask[0].startswith("11 ")
    assert "AB item identifier: BOOK4" in "\n".join(explained.would_ask).replace("  ", "")
    assert [line[:2] for line in explained.library if line[:3] in ("18 ", "64 ")] == ["18", "64"]
    _write_json(explained)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["would_ask"] == list(explained.would_ask)
    assert "right" not in "".join(last["would_ask"]), "the PIN that nobody gave"
    _write_text(explained)
    told = capsys.readouterr().out
    assert (
        "unknown: we have nothing against it, and the library system decides\n\n"
        "The library system would be asked:\n  11 " in told
    )


@pytest.mark.parametrize("message", [Message.CHECKIN, Message.RENEWAL, Message.HOLD])
async def test_nothing_changes_there(config, library_system, message):
    before = await library_system.store.find_item("BOOK1", NOON_THERE)
    card = "" if message is Message.CHECKIN else "1001"
    explained = await _explain(config, Wanted("kiosk-1", card, message, NOON, "BOOK1"))
    assert explained.reason == "upstream"
    assert explained.would_ask[0].startswith(f"{message} ")
    if message is Message.CHECKIN:
        assert any("return date" in line and "2026" in line for line in explained.would_ask)
    assert await library_system.store.find_item("BOOK1", NOON_THERE) == before
    store = open_backend(config, "command").store
    assert await store.unknown_attempts() == []
    await store.close()


@pytest.mark.parametrize("message", [None, Message.CHECKOUT])
async def test_a_locked_pin_is_not_asked_there(config, library_system, message):
    """B74, C171: the reason, whatever the library system knows of the card."""
    store = open_backend(config, "command").store
    at = datetime(2026, 3, 10, 10, 58, tzinfo=UTC)
    await store.record_guess(spelling("1001"), at, 1, at + timedelta(minutes=15))
    await store.close()
    item = "BOOK4" if message else ""
    for terminal in ("kiosk-1", "door-1"):
        if item and terminal == "door-1":
            continue
        explained = await _explain(config, Wanted(terminal, "1001", message, NOON, item))
        assert (explained.decision, explained.reason) == ("refused", "pin_locked")
        pin = next(check for check in explained.checks if check.check == "pin")
        assert "locked the PIN until Tue 2026-03-10 12:13" in pin.detail
        assert explained.would_ask == ()
    later = await _explain(config, Wanted("kiosk-1", "1001", None, "2026-03-10 12:14"))
    assert later.reason == "granted"


async def test_what_was_taken_off_line_about_the_item_is_told(config):
    """C125: a terminal would wait for it; nobody who asks for an explanation does."""
    store = open_backend(config, "command").store
    when = ("J1", NOON_THERE, NOON_THERE)
    entry = JournalEntry(*when, "default", "kiosk-1", "09", "BOOK1", patron="", key="", request={})
    await store.add_to_journal(entry)
    await store.close()
    explained = await _explain(config, Wanted("kiosk-1", "1001", Message.CHECKOUT, NOON, "BOOK1"))
    assert explained.reason == "upstream"
    assert explained.checks[-1].detail.endswith("goes up first: sip2gw upstream journal")


async def test_what_the_library_system_does_not_take(tmp_path, library_system):
    only = Dialect(DIALECT.theirs, f'{DIALECT.ours}\nmessages = ["63", "11"]')
    file = tmp_path / "sip2gw.toml"
    file.write_text(config_in_front(only, library_system.address))
    settings = load_config(file)
    await open_backend(settings, "command", "make").store.close()
    hold = await _explain(settings, Wanted("kiosk-1", "1001", Message.HOLD, NOON, "BOOK1"))
    assert hold.reason == "not_offered"
    assert hold.checks[0].detail == "the library system does not take message 15"
    loan = await _explain(settings, Wanted("kiosk-1", "1001", Message.CHECKOUT, NOON, "BOOK1"))
    assert loan.checks[-1].detail.endswith("it tells nothing of the item by a 17")


SMALL = """
[profiles.small]
kind = "door"
door = { capacity = 1 }
[terminals.small]
profile = "small"
branch = "MAIN"
password = "pw"
"""


async def test_a_door_that_leads_out_and_counts(tmp_path, library_system):
    """C67; whoever goes out is known by the number on the card."""
    counting = CONFIG.replace("[profiles.exit]", f"{SMALL}[profiles.exit]")
    settings = await in_front_of(tmp_path, library_system.address, counting)
    assert (await _explain(settings, Wanted("door-out", "1001", at=NOON))).reason == "granted"


async def test_a_denial_that_a_payment_has_lifted(tmp_path, library_system):
    """C123, C124: as at the terminal, though the library system was not told yet."""
    denials = 'denials_by_money = { flags = [0, 1, 3, 10, 11], af = "." }'
    dialect = Dialect(DIALECT.theirs, f"{DIALECT.ours}\npayments = false\n{denials}")
    file = tmp_path / "sip2gw.toml"
    file.write_text(config_in_front(dialect, library_system.address, CONFIG))
    settings = load_config(file)
    store = open_backend(settings, "command", "make").store
    load(store, list(badges_of(LIBRARY)))
    asked = Wanted("kiosk-1", "1004", at=NOON)
    assert (await _explain(settings, asked)).reason == "fee_limit"
    shares = [Share("1004", "1004", "own", 1250, kept=Kept.SUM)]
    at = datetime(2026, 3, 10, 10, tzinfo=UTC)
    what = ("pay-1", "B1", "x", "1004", 1250, "EUR", "00", "B1", at, at + timedelta(days=30))
    order = PaymentOrder(*what, case=settling(), texts=saying("Thank you"))
    begun = await store.begin_shares(order, "default", shares, (), {})
    assert isinstance(begun, Begun)
    await store.book_kept(begun.payment_id, at)
    await store.close()
    assert (await _explain(settings, asked)).reason == "granted"
