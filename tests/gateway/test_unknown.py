"""What a terminal and the staff are told when a write takes too long, fails, or is cut off (C98).

The clock is turned, the disk waits or fails as told; everything between is the real gateway.
"""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from unittest.mock import patch

import pytest
from desk import DESK_CONFIG, DESK_LIBRARY, ask_09, ask_11, ask_15, ask_17, ask_19, ask_29, ask_65
from harness import CONFIG, LIBRARY, ask_23, ask_37, running
from slow_disk import SlowDisk

from sip2gw.backend.base import OutcomeUnknownError, UnavailableError
from sip2gw.backend.spool import Spool
from sip2gw.backend.sqlite import writer
from sip2gw.daemon.chores import settling
from sip2gw.serving.server import TerminalServer

DEADLINE_S = 6
"""More than `request_timeout_s`."""


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(writer, "PROBE_EVERY_S", 0.002)
    monkeypatch.setattr(settling, "SOON_S", 0.002)
    monkeypatch.setattr(settling, "OPEN_S", 0.002)


@asynccontextmanager
async def with_disk(directory, config, records):
    async with running(directory, config=config, records=records) as gateway:
        # The first look at the store commits, too: only what a terminal asks for is to wait.
        await until(lambda: gateway.app.server._backend_check is None)
        gateway.disk = SlowDisk(gateway.store)
        try:
            yield gateway
        finally:
            gateway.disk.failing = False
            gateway.disk.release()


@pytest.fixture
async def gateway(tmp_path):
    async with with_disk(tmp_path, CONFIG, LIBRARY) as started:
        yield started


@pytest.fixture
async def desk(tmp_path):
    async with with_disk(tmp_path, DESK_CONFIG, DESK_LIBRARY) as started:
        yield started


def pass_the_deadline(gateway):
    """What the sweep does once a second."""
    gateway.clock.advance(DEADLINE_S)
    server: TerminalServer = gateway.app.server
    for line in list(server._lines.values()):
        line.enforce_deadlines(gateway.clock.monotonic())


async def until(true):
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 -- another thread does it
            await asyncio.sleep(0.001)


PAY = ask_37("1004", "1.00", pin="1004", bk="K1")
NOT_SURE = "|AFWe are not sure that your payment was recorded. Please ask the staff.|"
TRY_AGAIN = "|AFThis is not possible now. Please try again or ask the staff.|"


def listed(gateway):
    """BK and status of each payment."""
    return [(payment.bk, payment.status) for payment in gateway.store.payments()]


async def till(gateway):
    """A till that knows the patron already, so that only the booking waits."""
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_23("1004", "1004"))
    return pay


async def test_a_payment_that_is_being_committed_is_not_sure_and_settled_by_itself(gateway):
    """C59: the retry is told yes, and it is booked once."""
    pay = await till(gateway)
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pass_the_deadline(gateway)
    unsure = await pay.read()
    assert unsure.startswith("38N")
    assert NOT_SURE in unsure
    assert gateway.metrics.payments == {("unknown", "own"): 1}
    assert listed(gateway) == [("K1", "unknown")]
    await until(lambda: gateway.metrics.outcome_unknown == 1)
    gateway.disk.release()
    await until(lambda: gateway.metrics.outcome_unknown == 0)
    assert listed(gateway) == [("K1", "booked")]
    assert (await pay.ask(PAY)).startswith("38Y")
    assert listed(gateway) == [("K1", "booked")]
    (event,) = [line for line in gateway.logged() if line["event"] == "outcome_settled"]
    assert (event["terminal"], event["done"]) == ("pay-1", True)
    assert list(gateway.store.refused_payments()) == []  # nobody has refused it


async def test_a_payment_that_was_not_begun_is_a_plain_no_and_never_booked(gateway):
    first, second = await till(gateway), await gateway.terminal("pay-2")
    await second.ask(ask_23("1004", "1004"))
    gateway.disk.hold()
    await first.send(ask_37("1004", "2.00", pin="1004", bk="K0"))
    await gateway.disk.committing()
    await second.send(PAY)
    await until(lambda: gateway.store._writer._queue)
    pass_the_deadline(gateway)
    refused = await second.read()
    assert refused.startswith("38N")
    assert TRY_AGAIN in refused
    assert gateway.metrics.payments["refused", "own"] == 1
    gateway.disk.release()
    await first.read()
    await until(lambda: gateway.metrics.outcome_unknown == 0 and not gateway.store._doubts)
    assert listed(gateway) == [("K0", "booked")]


async def test_while_the_disk_fails_the_first_is_not_sure_and_the_next_a_plain_no(gateway):
    pay = await till(gateway)
    gateway.disk.failing = True
    await pay.send(PAY)
    await until(lambda: gateway.store._writer.suspect)
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()
    assert NOT_SURE in await pay.ask(PAY)  # nobody knows more than before
    assert TRY_AGAIN in await pay.ask(ask_37("1004", "2.00", pin="1004", bk="K2"))
    gateway.disk.failing = False
    await until(lambda: gateway.metrics.outcome_unknown == 0 and not gateway.store._doubts)
    assert listed(gateway) == [("K1", "refused")]
    assert (await pay.ask(PAY)).startswith("38Y")
    assert sorted(listed(gateway)) == [("K1", "booked"), ("K1", "refused")]


async def test_another_process_holds_the_lock_for_longer_than_the_deadline(gateway, tmp_path):
    pay = await till(gateway)
    with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        await until(lambda: gateway.store._writer._queue)
        pass_the_deadline(gateway)
        assert TRY_AGAIN in await pay.read()
    assert (await pay.ask(ask_37("1004", "2.00", pin="1004", bk="K2"))).startswith("38Y")
    assert listed(gateway) == [("K2", "booked")]


async def test_what_a_terminal_asked_before_it_hung_up_is_not_begun(gateway):
    first, second = await till(gateway), await gateway.terminal("pay-2")
    await second.ask(ask_23("1004", "1004"))
    gateway.disk.hold()
    await first.send(ask_37("1004", "2.00", pin="1004", bk="K0"))
    await gateway.disk.committing()
    await second.send(PAY)
    await until(lambda: gateway.store._writer._queue)
    second.close()
    await until(lambda: all(one.unwanted for one in gateway.store._writer._queue))
    gateway.disk.release()
    assert (await first.read()).startswith("38Y")
    await gateway.store.ping()
    assert listed(gateway) == [("K0", "booked")]


async def test_what_was_being_committed_when_a_terminal_hung_up_is_found_by_its_retry(gateway):
    pay = await till(gateway)
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pay.close()
    await until(lambda: not gateway.app.server._lines)
    assert listed(gateway) == []  # nobody was told anything
    gateway.disk.release()
    again = await gateway.terminal("pay-1")
    assert (await again.ask(PAY)).startswith("38Y")
    assert listed(gateway) == [("K1", "booked")]
    assert gateway.metrics.payments["unknown", "own"] == 0


async def test_a_loan_of_unknown_outcome_says_so_and_is_for_review(desk):
    kiosk = await desk.terminal("kiosk-1")
    desk.disk.hold()
    await kiosk.send(ask_11("FREE1", "1009"))
    await desk.disk.committing()
    pass_the_deadline(desk)
    answer = await kiosk.read()
    assert answer.startswith("120NUN")
    assert "|AFWe are not sure that this was done. Please ask the staff.|" in answer
    desk.disk.release()
    await until(lambda: desk.metrics.outcome_unknown == 0 and not desk.store._doubts)
    (entry,) = desk.store.reviews()
    assert (entry.kind, entry.message, entry.item, entry.outcome) == (
        "unknown",
        "11",
        "FREE1",
        "done",
    )


async def test_a_refused_loan_is_not_made_later(desk, tmp_path):
    kiosk = await desk.terminal("kiosk-1")
    with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await kiosk.send(ask_11("FREE1", "1009"))
        await until(lambda: desk.store._writer._queue)
        pass_the_deadline(desk)
        assert TRY_AGAIN in await kiosk.read()
    await desk.store.ping()
    record = await desk.store.find_item("FREE1", desk.clock.now())
    assert record.state.loan is None
    assert list(desk.store.reviews()) == []


async def test_other_messages_say_a_plain_no_at_the_deadline(gateway, monkeypatch):
    """A read that takes too long has written nothing."""
    forever = asyncio.get_running_loop().create_future()

    async def find(number):
        await forever

    pay = await till(gateway)
    monkeypatch.setattr(gateway.app.gateway.services.backend, "find_payer", find)
    await pay.send(PAY)
    await until(lambda: any(line.busy for line in gateway.app.server._lines.values()))
    pass_the_deadline(gateway)
    assert TRY_AGAIN in await pay.read()
    assert gateway.metrics.payments == {("refused", "own"): 1}


def unreachable(gateway, monkeypatch):
    """Nothing can be read or written any more; what is noted is known all the same."""
    backend = gateway.app.gateway.services.backend

    async def fail(*_):
        raise UnavailableError("the database cannot be reached")

    for name in (
        "find_by_card",
        "find_payer",
        "copy_of_title",
        "find_item",
        "circulate",
        "book_payment",
    ):
        monkeypatch.setattr(backend, name, fail)


async def test_the_retry_of_a_payment_that_is_not_sure_is_not_either_while_nothing_can_be_read(
    gateway, monkeypatch
):
    """A plain no would be wrong: it is booked. Of another payment it is right."""
    pay, other = await till(gateway), await gateway.terminal("pay-2")
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()
    unreachable(gateway, monkeypatch)
    assert NOT_SURE in await pay.ask(PAY)
    assert TRY_AGAIN in await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K2"))
    assert TRY_AGAIN in await pay.ask(ask_37("1004", "2.00", pin="1004", bk="K1"))
    with patch("sip2gw.handlers.fee.refuse", side_effect=ValueError("a bug")):
        assert TRY_AGAIN in await pay.ask(PAY.replace("EUR", "USD"))
    assert TRY_AGAIN in await other.ask(PAY)
    gateway.disk.release()
    await until(lambda: gateway.metrics.outcome_unknown == 0 and not gateway.store._doubts)
    assert listed(gateway) == [("K1", "booked")]


@pytest.mark.parametrize("heard_yes", [False, True])
async def test_the_retry_of_what_was_found_to_be_booked_is_not_sure_while_the_store_is_away(
    gateway, monkeypatch, heard_yes
):
    """The store recovered, told what had become of it, and failed again: no is still wrong.

    So it is for a terminal whose retry was answered with yes and that never heard it.
    """
    pay = await till(gateway)
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()
    gateway.disk.release()
    if heard_yes:
        assert (await pay.ask(PAY)).startswith("38Y")
    await until(lambda: gateway.metrics.outcome_unknown == 0 and not gateway.store._doubts)
    with monkeypatch.context() as away:
        unreachable(gateway, away)
        assert NOT_SURE in await pay.ask(PAY)
        assert TRY_AGAIN in await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K2"))
    assert (await pay.ask(PAY)).startswith("38Y")
    await until(lambda: not gateway.store._doubts)
    assert listed(gateway) == [("K1", "booked")]
    (settled,) = gateway.store.reconciliations(gateway.clock.now())
    assert settled.state == "resolved"


async def test_the_retry_of_what_was_just_booked_is_not_sure_while_the_store_is_away(
    gateway, monkeypatch
):
    """The network that lost the first yes may have taken the store away as well."""
    pay = await till(gateway)
    assert (await pay.ask(PAY)).startswith("38Y")
    again = await gateway.terminal("pay-1")
    with monkeypatch.context() as away:
        unreachable(gateway, away)
        assert NOT_SURE in await again.ask(PAY)
        assert TRY_AGAIN in await again.ask(ask_37("1004", "2.00", pin="1004", bk="K1"))
        assert TRY_AGAIN in await again.ask(ask_37("1004", "1.00", pin="1004", bk="K2"))
    assert (await again.ask(PAY)).startswith("38Y")
    await until(lambda: not gateway.store._doubts)
    assert listed(gateway) == [("K1", "booked")]
    (settled,) = gateway.store.reconciliations(gateway.clock.now())
    assert settled.state == "resolved"


async def test_the_retry_of_a_payment_without_bk_is_told_by_its_date(gateway, monkeypatch):
    pay, request = await till(gateway), ask_37("1004", "1.00", pin="1004")
    gateway.disk.hold()
    await pay.send(request)
    await gateway.disk.committing()
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()
    unreachable(gateway, monkeypatch)
    assert NOT_SURE in await pay.ask(request)
    assert TRY_AGAIN in await pay.ask(request.replace("1.00", "2.00"))
    assert TRY_AGAIN in await pay.ask(request.replace("120000", "120001"))


async def test_a_retry_whose_deadline_passes_while_it_reads_is_not_sure_either(
    gateway, monkeypatch
):
    forever = asyncio.get_running_loop().create_future()

    async def find(number):
        await forever

    pay = await till(gateway)
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()
    monkeypatch.setattr(gateway.app.gateway.services.backend, "find_payer", find)
    await pay.send(PAY)
    await until(lambda: any(line.busy for line in gateway.app.server._lines.values()))
    pass_the_deadline(gateway)
    assert NOT_SURE in await pay.read()


async def test_a_retry_is_not_sure_when_the_first_is_committed_for_a_terminal_that_hung_up(
    gateway, monkeypatch
):
    """Nobody was told anything of the first; now somebody is, so it is listed."""
    pay = await till(gateway)
    gateway.disk.hold()
    await pay.send(PAY)
    await gateway.disk.committing()
    pay.close()
    await until(lambda: not gateway.app.server._lines)
    again = await gateway.terminal("pay-1")
    unreachable(gateway, monkeypatch)
    assert NOT_SURE in await again.ask(PAY)
    assert listed(gateway) == [("K1", "unknown")]
    gateway.disk.release()
    await until(lambda: gateway.metrics.outcome_unknown == 0 and not gateway.store._doubts)
    assert listed(gateway) == [("K1", "booked")]


ITEM_NOT_SURE = "|AFWe are not sure that this was done. Please ask the staff.|"


ADD = ask_15("ABLENT1", "1009", "1009")
LATER = "20260310    120001"


@pytest.mark.parametrize(
    ("asked", "others"),
    [
        (
            ask_11("FREE1", "1009"),
            [ask_11("FREE2", "1009"), ask_11("FREE1", "1009", stamp=LATER), ask_09("FREE1")],
        ),
        (ask_09("LATE1"), [ask_09("LENT1"), ask_09("LATE1", stamp=LATER)]),
        (
            ask_29("ABIVO1", "1011"),
            [ask_29("ABLENT1", "1011"), ask_29("ABIVO1", "1011", stamp=LATER)],
        ),
        (ADD, [ADD.replace("15+", "15-"), ADD.replace("ABLENT1", "ABLATE1")]),
        (ask_15("AJTF", "1009", "1009"), [ask_15("AJTF", "1009", "1009", stamp=LATER)]),
        (ask_19("FREE1", "blue"), [ask_19("FREE2", "blue"), ask_17("FREE1")]),
        (ask_65("1011", "1011"), [ask_29("ABIVO1", "1011")]),
    ],
)
async def test_the_retry_of_what_is_not_sure_with_an_item_is_not_either(
    desk, monkeypatch, asked, others
):
    kiosk = await desk.terminal("kiosk-1")
    desk.disk.hold()
    await kiosk.send(asked)
    await desk.disk.committing()
    pass_the_deadline(desk)
    assert ITEM_NOT_SURE in await kiosk.read()
    unreachable(desk, monkeypatch)
    assert ITEM_NOT_SURE in await kiosk.ask(asked)
    for other in others:
        assert TRY_AGAIN in await kiosk.ask(other)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OutcomeUnknownError("?"), "We are not sure that this was done. Please ask the staff."),
        (UnavailableError("gone"), "This is not possible now. Please try again"),
    ],
)
async def test_a_renewal_of_all_that_is_cut_short_tells_what_was_renewed(
    desk, monkeypatch, error, text
):
    kiosk = await desk.terminal("kiosk-1")
    backend = desk.app.gateway.services.backend
    circulate, calls = backend.circulate, []

    async def second_fails(order):
        calls.append(order.item_id)
        if len(calls) == 2:
            raise error
        return await circulate(order)

    monkeypatch.setattr(backend, "circulate", second_fails)
    answer = await kiosk.ask(ask_65("1009", "1009"))
    assert answer.startswith("6610001000")
    assert len(calls) == 2
    assert f"BM{calls[0]}|" in answer
    assert f"BN{calls[1]}|" in answer
    assert text in answer


async def test_a_spool_that_another_gateway_holds_is_named_in_the_log(tmp_path):
    """Refusals say only that the store is unavailable."""
    path = tmp_path / "library.db.spool"
    other = Spool(path)
    other.open()
    async with running(tmp_path, config=CONFIG, records=LIBRARY) as gateway:
        assert (gateway.app.look_at_spool, 60.0, 60.0) in gateway.app._regular()
        await gateway.app.look_at_spool()
        other.close()
        await gateway.app.have_spool()
        await gateway.app.look_at_spool()
        told = [line for line in gateway.logged() if line["event"] == "spool_unusable"]
    assert len(told) == 2, "at the start and at the next look, and not when it is free"
    assert told[0]["problem"].startswith(f"{path}: another gateway holds it")
