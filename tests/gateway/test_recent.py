"""What is remembered for some minutes only."""

from __future__ import annotations

import asyncio

import pytest

from sip2gw.foundation import recent
from sip2gw.foundation.recent import Recent

HALF_S = 0.05


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT_S", 2 * HALF_S)


async def until_empty(memory: Recent[str, str]) -> None:
    async with asyncio.timeout(30):
        while len(memory):  # noqa: ASYNC110 -- it empties itself
            await asyncio.sleep(HALF_S / 5)


async def test_a_value_is_there_and_the_last_one_counts() -> None:
    memory: Recent[str, str] = Recent(10)
    assert memory.get("91") is None
    memory.keep("91", "Jan")
    memory.keep("91", "Johan")
    assert memory.get("91") == "Johan"
    assert len(memory) == 1


async def test_nobody_needs_to_ask_for_it_to_be_forgotten() -> None:
    memory: Recent[str, str] = Recent(10)
    memory.keep("91", "Jan")
    began = asyncio.get_running_loop().time()
    await until_empty(memory)
    assert asyncio.get_running_loop().time() - began >= HALF_S
    memory.keep("92", "Els")  # the timer runs again
    await until_empty(memory)


async def test_what_is_needed_stays() -> None:
    memory: Recent[str, str] = Recent(10)
    memory.keep("91", "Jan")
    memory.keep("92", "Els")
    for _ in range(3):
        memory._turn()
        assert memory.get("91") == "Jan"
    assert memory.get("92") is None
    assert len(memory) == 1


async def test_one_kept_again_is_there_once() -> None:
    memory: Recent[str, str] = Recent(10)
    memory.keep("91", "Jan")
    memory._turn()
    memory.keep("91", "Johan")
    assert (memory.get("91"), len(memory)) == ("Johan", 1)


async def test_there_are_never_more_than_the_limit() -> None:
    memory: Recent[str, str] = Recent(4)
    for number in range(20):
        memory.keep(str(number), "one")
        assert len(memory) <= 4
    assert [n for n in range(20) if memory.get(str(n))][-2:] == [18, 19]


async def test_clearing_forgets_both_halves() -> None:
    memory: Recent[str, str] = Recent(10)
    memory.keep("91", "Jan")
    memory._turn()
    memory.keep("92", "Els")
    memory.clear()
    assert (memory.get("91"), memory.get("92"), len(memory)) == (None, None, 0)
