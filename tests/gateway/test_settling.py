"""The task that settles what was answered with "not sure" (C98)."""

import asyncio
import io

import pytest

from sip2gw.backend.attempts import Settlement, UnknownCirculation
from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.daemon.chores import settling
from sip2gw.daemon.chores.settling import Settler
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log, Redactor


def attempt(number):
    return UnknownCirculation(
        id=f"A{number}",
        time=Clock().now(),
        terminal="kiosk-1",
        code="11",
        item_id="I1",
        patron_id="P1",
        key=f"k{number}",
    )


class Backend:
    """Knows some attempts, of which some cannot be settled."""

    def __init__(self, count, stubborn=()):
        self.open = [attempt(number) for number in range(count)]
        self.stubborn = set(stubborn)
        self.error = None
        self.looks = 0
        self.looked = asyncio.Event()

    async def unknown_attempts(self):
        self.looks += 1
        self.looked.set()
        if self.error is not None:
            raise self.error
        return list(self.open)

    async def settle(self, attempts, now):
        (known,) = attempts
        if known.id in self.stubborn:
            raise BackendError("never")
        self.open.remove(known)
        return [Settlement(known, True)]


def settler_of(backend):
    log = Log(io.BytesIO(), Redactor(b"x" * 32), level="debug")
    return Settler(backend, Metrics(), Clock(), log)


async def test_one_that_cannot_be_settled_keeps_no_other_from_it():
    backend = Backend(3, stubborn=["A0"])
    settler = settler_of(backend)
    await settler.settle()
    assert [known.id for known in backend.open] == ["A0"]
    assert settler._metrics.outcome_unknown == 1
    assert settler._metrics.backend_errors["settle", "bug"] == 1


async def test_a_round_is_bounded_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(settling, "ATTEMPTS_MAX", 2)
    backend = Backend(5)
    settler = settler_of(backend)
    for left in (3, 1, 0):
        await settler.settle()
        assert settler._metrics.outcome_unknown == left


async def test_the_gauge_stays_when_the_store_cannot_be_asked():
    backend = Backend(2, stubborn=["A0", "A1"])
    settler = settler_of(backend)
    await settler.settle()
    backend.error = UnavailableError("gone")
    await settler.settle()
    assert settler._metrics.outcome_unknown == 2


async def test_while_nothing_can_be_settled_it_looks_less_often():
    settler = settler_of(Backend(1, stubborn=["A0"]))
    settler.nudge()
    delays = []
    for _ in range(4):
        await settler.settle()
        delays.append(settler._delay_s)
    assert delays == [0.5, 1.0, 1.0, 1.0]


async def test_it_looks_seldom_when_nothing_is_open_and_soon_when_told(monkeypatch):
    monkeypatch.setattr(settling, "SOON_S", 0.001)
    backend = Backend(0)
    settler = settler_of(backend)
    settler.start()
    await asyncio.wait_for(backend.looked.wait(), 5)
    backend.looked.clear()
    settler.nudge()
    await asyncio.wait_for(backend.looked.wait(), 5)
    assert backend.looks == 2
    await settler.stop()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_settler_that_is_stopped_while_it_is_nudged_stops(turns):
    """A gateway that hands over stops it in the turn of the loop in which an answer is lost."""
    backend = Backend(0)
    settler = settler_of(backend)
    settler.start()
    await asyncio.wait_for(backend.looked.wait(), 5)
    await asyncio.sleep(0)  # it waits for the next look
    settler.nudge()
    for _ in range(turns):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(settler.stop())
    await asyncio.wait([stopping], timeout=5)
    assert stopping.done()


@pytest.mark.parametrize("error", [KeyError("our bug"), UnavailableError("gone")])
async def test_it_goes_on_whatever_a_look_ends_with(monkeypatch, error):
    monkeypatch.setattr(settling, "SOON_S", 0.001)
    backend = Backend(1)
    backend.error = error
    settler = settler_of(backend)
    settler.start()
    await asyncio.wait_for(backend.looked.wait(), 5)
    backend.looked.clear()
    backend.error = None
    settler.nudge()
    await asyncio.wait_for(backend.looked.wait(), 5)
    await settler.stop()
    assert backend.looks >= 2
