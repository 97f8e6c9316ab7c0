"""Money that a terminal reported and we refused: staff finds it (B100, C104)."""

import asyncio
from unittest.mock import patch

import pytest
from harness import CONFIG, STAMP, ask_23, ask_37, running

from sip2gw.backend.base import BackendTimeoutError, UnavailableError
from sip2gw.backend.factory import open_backend
from sip2gw.model.refusals import RefusedPaymentsMore
from sip2gw.monitoring.metrics import FamilyMaker


def listed(gateway):
    """What `payment refused` shows, without time and terminal."""
    return [
        (one.payer, one.amount, one.currency, one.payment_type, one.bk, one.reason)
        for one in gateway.store.refused_payments()
    ]


def amounts(gateway):
    """`sip2gw_payments_refused_amount_total` by currency, where there is any."""
    families = FamilyMaker(gateway.metrics).families()
    (family,) = (f for f in families if f.name == "sip2gw_payments_refused_amount")
    return {currency: value for _, (currency,), value in family.samples if value}


@pytest.mark.parametrize(
    ("request_text", "row"),
    [
        (
            ask_37("1004", "12.51", pin="1004", bk="K1"),
            ("1004", "12.51", "EUR", "00", "K1", "overpayment"),
        ),
        # Refused before anybody looked who it is.
        (
            ask_37("1004", "1.00", pin="1004", currency="USD"),
            ("1004", "1.00", "USD", "00", "", "currency"),
        ),
        (
            ask_37("1004", "1.00", pin="1004", kind="09"),
            ("1004", "1.00", "EUR", "09", "", "payment_type"),
        ),
        # What cannot be read is kept as it was sent.
        (
            ask_37("1004", "1,00", pin="1004"),
            ("1004", "1,00", "EUR", "00", "", "amount"),
        ),
        (
            ask_37("1004", "5\x1b[2J", pin="1004"),
            ("1004", "5?[2J", "EUR", "00", "", "amount"),
        ),
        (
            ask_37("1004", "9" * 999, pin="1004"),
            ("1004", "9" * 255, "EUR", "00", "", "amount"),
        ),
        (
            ask_37("1004", "-1.00", pin="1004"),
            ("1004", "-1.00", "EUR", "00", "", "amount"),
        ),
        # What can be, in the way that staff adds up.
        (
            ask_37("1004", " 99 ", pin="1004", currency="eur"),
            ("1004", "99.00", "EUR", "00", "", "overpayment"),
        ),
        (
            ask_37("1004", "100", pin="1004", currency="jpy"),
            ("1004", "100", "JPY", "00", "", "currency"),
        ),
        (
            ask_37("1004", "1.00", pin="0000", bk=" K2 "),
            ("1004", "1.00", "EUR", "00", "K2", "wrong_pin"),
        ),
        (
            ask_37("1004", "1.00"),
            ("1004", "1.00", "EUR", "00", "", "no_pin"),
        ),
        (
            ask_37("4711", "1.00", pin="1"),
            ("4711", "1.00", "EUR", "00", "", "unknown_card"),
        ),
        (
            ask_37("1001B", "1.00", pin="1001"),  # a blocked card of 1001
            ("1001", "1.00", "EUR", "00", "", "card_blocked"),
        ),
        (
            ask_37("1009", "1.00", pin="1009"),
            ("1009", "1.00", "EUR", "00", "", "nothing_to_pay"),
        ),
        (
            ask_37("1004", "1.00", pin="1004").replace(STAMP, " " * 18),
            ("1004", "1.00", "EUR", "00", "", "no_transaction_date"),
        ),
        # The fixed block ends too early; what stands behind it is told all the same.
        (
            f"37{STAMP}01|BV1.00|AOHUB|AA1004|AD1004|BKK3|",
            ("1004", "1.00", "EUR", "", "K3", "unreadable"),
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
async def test_whatever_the_reason_it_is_listed_when_the_terminal_has_its_no(
    gateway, request_text, row
):
    pay = await gateway.terminal("pay-1")
    assert (await pay.ask(request_text)).startswith("38N")
    assert listed(gateway) == [row]
    (entry,) = gateway.store.refused_payments()
    assert (entry.time, entry.terminal) == (gateway.clock.now(), "pay-1")


async def test_what_is_paid_is_not_listed(gateway):
    pay = await gateway.terminal("pay-1")
    assert (await pay.ask(ask_37("1004", "1.00", pin="1004"))).startswith("38Y")
    assert (await pay.ask(ask_23("4711", "1"))).startswith("24YYYY")
    assert listed(gateway) == []
    assert amounts(gateway) == {}


async def test_no_pin_is_kept_anywhere(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_37("1004", "1.00", pin="SECRET"))
    await pay.ask(f"37{STAMP}01|BV1.00|AOHUB|AA1004|ADSECRET|BKK3|")
    assert "SECRET" not in repr(list(gateway.store.refused_payments()))
    with gateway.store.snapshot() as connection:
        rows = connection.execute("SELECT * FROM refused_payment").fetchall()
    assert len(rows) == 2
    assert "SECRET" not in str(rows)
    assert "SECRET" not in str(gateway.logged())


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        # The `|` after BV is missing, and with it AD itself.
        ("BV1.00AD9177|AOHUB|AA1004|AC|BKK1|", ("1004", "1.00AD***", "K1")),
        ("BV1.00|AOHUB|AA1004AD9177|AC|BKK1|", ("1004AD***", "1.00", "K1")),
        ("BV99.00|AOHUB|AA4711|AC|BKK1AD9177|", ("4711", "99.00", "K1AD***")),
        ("BV1.00|AOHUB|AA4711AC9177|AD1004|BKK1|", ("4711AC***", "1.00", "K1")),
        # Another delimiter.
        ("BV1.00^AOHUB^AA1004^AC^AD9177^BKK1^", ("", "1.00^AOHUB^AA1004^AC***", "")),
        # AC and AD are there, so what looks like them is a receipt number.
        ("BV99.00|AOHUB|AA4711|AC|AD1004|BKAD-ACE-1|", ("4711", "99.00", "AD-ACE-1")),
    ],
)
async def test_b16_a_secret_that_another_field_has_swallowed_is_kept_nowhere(gateway, fields, kept):
    pay = await gateway.terminal("pay-1")
    await pay.ask(f"37{STAMP}0100EUR{fields}")
    assert [(payer, amount, bk) for payer, amount, _, _, bk, _ in listed(gateway)] == [kept]
    with gateway.store.snapshot() as connection:
        rows = connection.execute("SELECT * FROM refused_payment").fetchall()
    (line,) = [line for line in gateway.logged() if line["event"] == "payment_refused"]
    assert "9177" not in str(rows) + str(line)


@pytest.mark.parametrize("fields", ["BV1.00^AA1004^BKK1^", "BV|AA1004|"])
async def test_b16_the_log_does_not_repeat_an_amount_that_cannot_be_read(gateway, fields):
    """With another delimiter it has the card number in it, which is no secret for staff."""
    pay = await gateway.terminal("pay-1")
    await pay.ask(f"37{STAMP}0100EUR{fields}")
    (line,) = [line for line in gateway.logged() if line["event"] == "payment_refused"]
    assert line["amount"] == "unreadable"
    assert "1004" not in str(line)


async def test_the_log_has_it_at_once_with_a_pseudonym(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))
    (line,) = [line for line in gateway.logged() if line["event"] == "payment_refused"]
    told = {name: line[name] for name in ("terminal", "amount", "currency", "bk", "reason")}
    assert told == {
        "terminal": "pay-1",
        "amount": "99.00",
        "currency": "EUR",
        "bk": "K1",
        "reason": "overpayment",
    }
    assert "1004" not in str(line)


async def test_amounts_are_counted_each_time_and_under_two_labels_only(gateway):
    pay = await gateway.terminal("pay-1")
    for amount, currency in (
        ("99.50", "EUR"),
        ("99.50", "   "),
        ("1,00", "EUR"),
        ("-5.00", "EUR"),
        ("0.00", "EUR"),
        ("3.00", "USD"),
        ("100", "JPY"),
        ("1.00", "???"),
    ):
        await pay.ask(ask_37("1004", amount, pin="1004", currency=currency))
    assert amounts(gateway) == {"EUR": 199.0, "other": 104.0}


async def test_a_retry_is_listed_again(gateway):
    """Nobody can know from outside whether the terminal took the money twice."""
    pay = await gateway.terminal("pay-1")
    for _ in range(2):
        await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))
    assert listed(gateway) == [("1004", "99.00", "EUR", "00", "K1", "overpayment")] * 2
    # The same frame again, with its sequence number, is the same sending (B8).
    request = ask_37("1004", "99.00", pin="1004", bk="K2") + "AY1"
    for _ in range(2):
        await pay.ask(request)
    assert len(listed(gateway)) == 3


@pytest.mark.parametrize("login", [None, "kiosk-1"], ids=["not logged in", "may not"])
async def test_who_may_not_take_payments_cannot_fill_the_list(gateway, login):
    terminal = await (gateway.connect() if login is None else gateway.terminal(login))
    assert (await terminal.ask(ask_37("1004", "99.00", pin="1004"))).startswith("38N")
    assert (await terminal.ask(f"37{STAMP}01|BV1.00|AA1004|")).startswith("38N")
    assert listed(gateway) == []
    assert amounts(gateway) == {}


async def test_more_than_the_limit_is_only_counted(tmp_path):
    async with running(tmp_path) as gateway:
        pay = await gateway.terminal("pay-1")
        with patch("sip2gw.backend.sql.money.refusals.KEPT_MAX", 3):
            for number in range(5):
                await pay.ask(ask_37("1004", "99.00", pin="1004", bk=str(number)))
            await gateway.store.close()
        store = open_backend(gateway.app.config, "command").store
        found = list(store.refused_payments())
        await store.close()
        assert [one.bk for one in found if not isinstance(one, RefusedPaymentsMore)] == list("012")
        assert RefusedPaymentsMore(gateway.clock.now(), "pay-1", 2) in found
        assert amounts(gateway) == {"EUR": 495.0}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("gone"), "unavailable"),
        (BackendTimeoutError("late"), "timeout"),
        (KeyError("ours"), "bug"),
    ],
)
async def test_our_own_failures_are_listed_too(gateway, error, reason):
    pay = await gateway.terminal("pay-1")
    with patch.object(gateway.store, "find_by_card", side_effect=error):
        answer = await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K1"))
    assert answer.startswith("38N")
    assert listed(gateway) == [("1004", "1.00", "EUR", "00", "K1", reason)]


async def test_a_payment_that_was_given_up_is_listed(tmp_path):
    config = CONFIG.replace("[server]", "[server]\nrequest_timeout_s = 0.1")
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_23("1004", "1004"))
        asked = asyncio.Event()

        async def never(order):
            asked.set()
            await asyncio.Event().wait()

        with patch.object(gateway.app.gateway.services.backend, "book_payment", never):
            await pay.send(ask_37("1004", "1.00", pin="1004", bk="K1"))
            await asked.wait()
            gateway.clock.advance(1)
            assert "Please try again" in await pay.read()  # nothing was written
        await gateway.store.ping()  # nobody waits for this one
        assert listed(gateway) == [("1004", "1.00", "EUR", "00", "K1", "timeout")]


async def test_a_no_leaves_in_time_when_the_store_is_slow(gateway, monkeypatch):
    """And is written when the store can be written again."""
    monkeypatch.setattr("sip2gw.serving.gateway.KEEP_WAIT_S", 0.01)
    pay = await gateway.terminal("pay-1")
    other = gateway.store.own_connection()
    with other as connection:
        connection.execute("BEGIN IMMEDIATE")
        answer = await pay.ask(ask_37("1004", "1.00", bk="K1", currency="USD"))
        assert answer.startswith("38N")
        assert listed(gateway) == []
        connection.execute("ROLLBACK")
    await gateway.store.ping()
    assert listed(gateway) == [("1004", "1.00", "USD", "00", "K1", "currency")]


async def test_a_no_stays_one_when_the_deadline_passes_while_it_is_written(tmp_path, monkeypatch):
    """It was decided: the terminal must not hear that nobody knows."""
    monkeypatch.setattr("sip2gw.serving.gateway.KEEP_WAIT_S", 60)
    config = CONFIG.replace("[server]", "[server]\nrequest_timeout_s = 0.1")
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        with gateway.store.own_connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            await pay.send(ask_37("1004", "1.00", bk="K1", currency="USD"))
            while not gateway.metrics.payments["refused", "own"]:  # noqa: ASYNC110 -- bounded
                await asyncio.sleep(0)
            gateway.clock.advance(1)
            assert "currency" in await pay.read()
            connection.execute("ROLLBACK")
        assert gateway.metrics.payments["unknown", "own"] == 0


async def test_the_gateway_forgets_them(tmp_path):
    """C166: after 90 days; the day's numbers with them."""
    config = CONFIG + "[privacy]\nrefused_payment_days = 2\n"
    async with running(tmp_path, config=config) as gateway:
        for day in range(3):
            pay = await gateway.terminal("pay-1")
            await pay.ask(ask_37("1004", "99.00", pin="1004", bk=str(day)))
            gateway.clock.advance(24 * 3600)
        await gateway.app.maintain()
        assert [one.bk for one in gateway.store.refused_payments()] == ["1", "2"]


async def test_a_bug_on_the_way_to_the_list_costs_no_answer(gateway, monkeypatch):
    def fail(refused):
        raise RuntimeError("a bug")

    monkeypatch.setattr(gateway.app.gateway.backend, "keep_refused_payment", fail)
    pay = await gateway.terminal("pay-1")
    assert (await pay.ask(ask_37("1004", "1.00", bk="K1", currency="USD"))).startswith("38N")
    assert gateway.metrics.backend_errors["answer", "bug"] == 1
