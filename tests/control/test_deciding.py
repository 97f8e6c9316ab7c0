"""A door decides for who asks over the control socket as it does over SIP2 (C140)."""

import asyncio

import pytest

from sip2gw.control.messages import Decide, Decided


async def decide(gateway, terminal, card, pin=None, direction=None):
    answer = gateway.app.operators._operations.answer(Decide(terminal, card, pin, direction), None)
    return await answer if isinstance(answer, asyncio.Future) else answer


async def rows(gateway):
    """The door log as stored."""
    await gateway.store.ping()
    return gateway.store.access_rows()


def requests(gateway):
    """The lines of the log: what was asked, and what became of it."""
    keys = ("terminal", "message", "outcome", "reason", "card")
    return [
        tuple(line.get(key) for key in keys)
        for line in gateway.logged()
        if line["event"] == "request" and line["message"] != "93"
    ]


@pytest.mark.parametrize(
    ("card", "pin", "decided"),
    [
        ("1001", "1001", Decided("granted", "granted", "Welcome.")),
        ("1001", "0000", Decided("refused", "wrong_pin", "Wrong PIN.")),
    ],
)
async def test_it_is_the_decision_of_the_door(gateway, card, pin, decided):
    assert await decide(gateway, "door-1", card, pin, "in") == decided
