"""Two of our own processes speak: whole messages, in order, with descriptors, never waiting."""

import asyncio
import os
import socket
from typing import Any

import msgspec
import pytest

from sip2gw.foundation import link as links
from sip2gw.foundation.eager import Suspended, start
from sip2gw.foundation.link import MESSAGE_BYTES_MAX, Link, LinkLostError, link_pair


class Line(msgspec.Struct, frozen=True, tag=True):
    number: int
    text: str = ""


class Count(msgspec.Struct, frozen=True, tag=True):
    lines: int


class Side:
    """One end, which remembers what it got; `answers` says what it answers."""

    def __init__(self, sock):
        self.got: list[tuple[Any, int | None]] = []
        self.answers = lambda message: Count(len(self.got))
        self.link = Link(sock, Line | Count, self.receive)

    def receive(self, message, descriptor):
        self.got.append((message, descriptor))
        return self.answers(message)

    async def has(self, messages):
        async with asyncio.timeout(60):
            while len(self.got) < messages:  # noqa: ASYNC110 -- bounded
                await asyncio.sleep(0)
        return [message for message, _ in self.got]


@pytest.fixture
async def sides():
    both = [Side(sock) for sock in link_pair()]
    yield both
    for side in both:
        side.link.close()


async def test_messages_arrive_whole_and_in_order_whether_told_or_asked(sides):
    parent, worker = sides
    parent.link.tell(Line(1))
    counted = await parent.link.ask(Line(2))
    parent.link.tell(Line(3, "x" * 60_000))
    assert counted == Count(2)
    assert await worker.has(3) == [Line(1), Line(2), Line(3, "x" * 60_000)]


async def test_both_sides_ask_at_once_and_answers_come_when_they_are_known(sides):
    parent, worker = sides
    known = asyncio.get_running_loop().create_future()

    async def later(message):
        return await known if message.number == 1 else Count(2)

    worker.answers = later
    slow = asyncio.ensure_future(parent.link.ask(Line(1)))
    assert await parent.link.ask(Line(2)) == Count(2)
    assert await worker.link.ask(Line(9)) == Count(1)
    known.set_result(Count(7))
    assert await slow == Count(7)


async def test_a_descriptor_goes_with_its_message(sides):
    parent, worker = sides
    ours, theirs = socket.socketpair()
    parent.link.tell(Line(1), theirs.fileno())
    theirs.close()  # at once: the message has its own
    parent.link.tell(Line(2))
    await worker.has(2)
    (_, handed), (_, none) = worker.got
    assert none is None
    with ours, socket.socket(fileno=handed) as line:
        assert not os.get_inheritable(handed)
        line.sendall(b"98")
        assert ours.recv(10) == b"98"


async def test_nobody_waits_for_a_side_that_does_not_read_and_nothing_is_lost():
    ours, theirs = link_pair()
    parent, (a, b) = Side(ours), socket.socketpair()
    for number in range(2_000):  # far more than its socket takes
        parent.link.tell(Line(number, "x" * 500), b.fileno() if number == 1_999 else None)
    b.close()
    worker = Side(theirs)
    assert [line.number for line in await worker.has(2_000)] == list(range(2_000))
    with a, socket.socket(fileno=worker.got[-1][1]) as line:
        line.sendall(b"!")
        assert a.recv(1) == b"!"
    parent.link.close()
    worker.link.close()


async def test_what_comes_when_there_is_room_again_does_not_overtake_what_waits():
    ours, theirs = link_pair()
    parent = Side(ours)
    for number in range(2_000):
        parent.link.tell(Line(number, "x" * 500))
    early = [theirs.recv(1_000) for _ in range(100)]  # and the loop has not noticed yet
    parent.link.tell(Line(2_000))
    worker = Side(theirs)
    assert (await worker.has(1_901))[-1] == Line(2_000)
    assert len(early) == 100
    parent.link.close()
    worker.link.close()


async def test_a_side_that_leaves_too_much_unread_loses_the_link(monkeypatch):
    monkeypatch.setattr(links, "UNSENT_MAX", 10)
    ours, theirs = link_pair()
    parent = Side(ours)
    with theirs:
        while not parent.link.lost.done():
            parent.link.tell(Line(1, "x" * 10_000))
    parent.link.tell(Line(2))  # nothing happens


async def test_what_was_said_before_the_end_still_arrives(sides):
    parent, worker = sides
    worker.link.tell(Line(1))
    worker.link.close()
    parent.link.tell(Line(5))
    await parent.link.lost
    assert parent.got == [(Line(1), None)]


async def test_whoever_asked_learns_that_the_other_side_has_gone(sides):
    parent, worker = sides
    worker.answers = lambda message: asyncio.get_running_loop().create_future()
    asked = asyncio.ensure_future(parent.link.ask(Line(1)))
    await worker.has(1)
    worker.link.close()
    with pytest.raises(LinkLostError):
        await asked
    with pytest.raises(LinkLostError):
        await parent.link.ask(Line(2))


async def test_that_the_link_is_lost_is_heard_before_any_question_fails(sides):
    parent, worker = sides
    heard: list[str] = []

    async def ask(name):
        with pytest.raises(LinkLostError):
            await worker.link.ask(Line(1))
        heard.append(name)

    parent.answers = lambda message: asyncio.get_running_loop().create_future()
    waits = asyncio.create_task(ask("waits"))
    await parent.has(1)
    worker.link.lost.add_done_callback(lambda lost: heard.append("lost"))
    worker.link.close()
    # As a request does whose terminal spoke in the same turn: without a task of its own.
    late = start(ask("late"))
    assert isinstance(late, Suspended)
    late.go_on(lambda ended: None)
    await waits
    assert heard[0] == "lost"
    assert set(heard) == {"lost", "waits", "late"}


@pytest.mark.parametrize("later", [False, True])
async def test_an_error_of_ours_is_reported_and_the_link_goes_on(sides, later):
    parent, worker = sides
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: told.append(what))

    def fail(message):
        raise ZeroDivisionError

    async def fail_later(message):
        fail(message)

    worker.answers = fail_later if later else fail
    with pytest.raises(LinkLostError):
        await parent.link.ask(Line(1))
    worker.answers = lambda message: Count(2)
    assert await parent.link.ask(Line(2)) == Count(2)
    assert [type(one["exception"]) for one in told] == [ZeroDivisionError]


async def test_a_message_that_is_too_long_is_an_error_where_it_is_sent(sides):
    parent, _ = sides
    with pytest.raises(ValueError, match="too long"):
        parent.link.tell(Line(1, "x" * MESSAGE_BYTES_MAX))
    assert await parent.link.ask(Line(2)) == Count(1)
