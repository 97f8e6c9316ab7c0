"""How a request that goes up once may end, whoever waits for it (B79, C98, C127)."""

import asyncio
from types import SimpleNamespace

import pytest

from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    HungUpError,
    OutcomeUnknownError,
    UnavailableError,
)
from sip2gw.backend.system import NoAnswerError, NotAskedError
from sip2gw.foundation.clock import Clock
from sip2gw.handlers.upstream.once import send_beside, send_once, sending_of
from sip2gw.protocol.messages import Checkout, CheckoutResponse, Renew, RenewAll
from sip2gw.shared.sendings import Sendings

STAMP = "20260310    120000"


class Backend:
    """Remembers what it was told."""

    def __init__(self):
        self.done = []
        self.ready = asyncio.Event()
        self.ready.set()

    async def begin_sending(self, sending):
        await self.ready.wait()
        self.done.append("begun")

    async def note_sending(self, sending):
        self.done.append("noted")

    def end_sending(self, sending):
        self.done.append("ended")


@pytest.fixture
def session():
    library = SimpleNamespace(is_away=lambda account: False)
    services = SimpleNamespace(
        backend=Backend(), clock=Clock(), library=library, sendings=Sendings()
    )
    services.sendings.recall((), {})
    terminal = SimpleNamespace(
        name="kiosk-1", timeout_s=4.0, upstream=SimpleNamespace(account="default")
    )
    return SimpleNamespace(services=services, terminal=terminal)


def loan(**changes):
    values = {"transaction_date": STAMP, "patron_identifier": "1", "item_identifier": "I1"}
    return Checkout(**(values | changes))


async def at_once(send):
    return await send()


async def says_yes(sent):
    return CheckoutResponse(ok=True)


async def is_silent(sent):
    raise NoAnswerError


async def was_not_asked(sent):
    raise NotAskedError


async def test_before_it_is_known_what_was_sent_before_nothing_goes_up(session):
    session.services.sendings = Sendings()
    with pytest.raises(UnavailableError):
        await send_once(session, loan(), says_yes, at_once)


async def test_while_it_is_away_nothing_is_written_down(session):
    session.services.library.is_away = lambda account: True
    with pytest.raises(NotAskedError):
        await send_once(session, loan(), says_yes, at_once)
    assert session.services.backend.done == []


async def test_what_was_not_asked_is_no_doubt(session):
    with pytest.raises(NotAskedError):
        await send_once(session, loan(), was_not_asked, at_once)
    assert session.services.backend.done == ["begun", "ended"]
    assert await send_once(session, loan(), says_yes, at_once) == CheckoutResponse(ok=True)


async def test_what_was_refused_before_it_was_sent_is_no_doubt(session):
    async def refuses(send):
        raise ValueError("locked")

    with pytest.raises(ValueError, match="locked"):
        await send_once(session, loan(), says_yes, refuses)
    assert session.services.backend.done == []


@pytest.mark.parametrize("ok", [True, False])
async def test_a_failure_after_the_answer_denies_nothing(session, ok):
    async def fails_afterwards(send):
        await send()
        raise BackendError

    async def answers(sent):
        return CheckoutResponse(ok=ok)

    if ok:
        told = await send_once(session, loan(), answers, fails_afterwards)
        assert told == CheckoutResponse(ok=True)
    else:
        with pytest.raises(BackendError):
            await send_once(session, loan(), answers, fails_afterwards)
    assert session.services.backend.done == ["begun", "ended"]


async def waiting_for(session, send):
    """A request, once it waits."""
    asking = asyncio.ensure_future(send_once(session, loan(), send, at_once))
    for _ in range(5):
        await asyncio.sleep(0)
    return asking


async def test_at_its_deadline_a_request_that_was_sent_is_not_sure_and_settled_by_the_answer(
    session,
):
    heard = asyncio.Event()

    async def late(sent):
        await heard.wait()
        return CheckoutResponse(ok=True)

    asking = await waiting_for(session, late)
    asking.cancel()
    with pytest.raises(OutcomeUnknownError):
        await asking
    assert session.services.backend.done == ["begun", "noted"]
    again = await waiting_for(session, is_silent)
    heard.set()
    assert (await again).ok
    assert session.services.backend.done == ["begun", "noted", "ended"]


async def test_at_its_deadline_a_request_that_was_not_sent_is_not_sent_later(session):
    session.services.backend.ready.clear()
    asking = await waiting_for(session, is_silent)
    asking.cancel()
    with pytest.raises(BackendTimeoutError):
        await asking
    session.services.backend.ready.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert session.services.backend.done == ["begun", "ended"]


async def test_what_is_under_way_may_be_done_from_when_it_is_sent(session):
    ready, heard = session.services.backend.ready, asyncio.Event()

    async def late(sent):
        await heard.wait()
        return CheckoutResponse(ok=True)

    def may_be_done():
        return session.services.sendings.may_be_done(sending_of(session, loan()))

    ready.clear()
    asking = await waiting_for(session, late)
    assert not may_be_done()
    ready.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert may_be_done()
    heard.set()
    await asking
    assert not may_be_done()


@pytest.mark.parametrize(
    ("error", "noted"),
    [(NoAnswerError(), ["noted"]), (HungUpError(), [])],
    ids=["not answered", "hung up"],
)
async def test_what_may_go_up_twice_is_noted_only_for_who_waits(session, error, noted):
    """Who has hung up asks again, and it goes up again then."""
    request = RenewAll(transaction_date=STAMP, patron_identifier="1")

    async def fails(sent):
        sent()
        raise error

    with pytest.raises(HungUpError if not noted else OutcomeUnknownError):
        await send_beside(session, request, fails, at_once)
    assert session.services.backend.done == noted


async def test_what_was_not_sent_is_no_doubt_either_where_it_may_go_up_twice(session):
    async def fails(sent):
        raise NoAnswerError

    request = RenewAll(transaction_date=STAMP, patron_identifier="1")
    with pytest.raises(NoAnswerError):
        await send_beside(session, request, fails, at_once)
    assert session.services.backend.done == []


async def test_who_hangs_up_hears_nothing_and_nothing_is_noted(session):

    heard = asyncio.Event()

    async def late(sent):
        await heard.wait()
        return CheckoutResponse(ok=True)

    going = send_once(session, loan(), late, at_once)
    going.send(None)
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(HungUpError):
        going.throw(HungUpError())
    assert session.services.backend.done == ["begun"]
    again = await waiting_for(session, is_silent)
    heard.set()
    assert (await again).ok


def test_a_renewal_by_title_is_told_from_that_of_another_title(session):
    keys = {
        sending_of(session, Renew(transaction_date=STAMP, title_identifier=title)).key
        for title in ("One", "Two", None)
    }
    assert len(keys) == 3


def test_without_a_date_each_request_is_one_of_its_own(session):
    blank = loan(transaction_date=" " * 18)
    assert sending_of(session, blank).key != sending_of(session, blank).key


async def test_what_was_not_answered_does_not_go_up_again(session):
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError):
            await send_once(session, loan(), is_silent, at_once)
    assert session.services.backend.done == ["begun", "noted"]
    assert await send_once(session, loan(item_identifier="I2"), says_yes, at_once)
