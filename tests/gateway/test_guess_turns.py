"""One guess at a patron after the other, in the order in which they came (B20, B74)."""

from __future__ import annotations

import asyncio
from typing import cast

from sip2gw.shared.together.courier import Courier, Wire
from sip2gw.shared.together.guesses import JointTurns
from sip2gw.shared.turns import NameTurns


async def a_few_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Queue:
    """Guessers at some patrons, and the order in which they had their turns."""

    def __init__(self) -> None:
        self.turns, self.order = NameTurns(), list[str]()

    def guess(self, who: str, *names: str) -> asyncio.Task[None]:
        async def take() -> None:
            await self.turns.take(names)
            self.order.append(who)

        return asyncio.create_task(take())


async def test_who_is_alone_does_not_wait() -> None:
    queue = Queue()
    await queue.guess("Jan", "91")
    await queue.guess("Els", "92")
    queue.turns.release(["91"])
    await queue.guess("Ann", "91")


async def test_others_follow_in_their_order() -> None:
    queue = Queue()
    guesses = [queue.guess(who, "91") for who in ("first", "second", "third")]
    for had in range(1, 4):
        await a_few_turns()
        assert queue.order == ["first", "second", "third"][:had]
        queue.turns.release(["91"])
    await asyncio.gather(*guesses)
    assert not queue.turns._taken


async def test_who_has_gone_is_passed_over() -> None:
    queue = Queue()
    _, second, _ = (queue.guess(who, "91") for who in ("first", "second", "third"))
    await a_few_turns()
    second.cancel()
    await a_few_turns()
    queue.turns.release(["91"])
    await a_few_turns()
    assert queue.order == ["first", "third"]


async def test_who_goes_as_the_turn_comes_hands_it_on() -> None:
    queue = Queue()
    _, second, _ = (queue.guess(who, "91") for who in ("first", "second", "third"))
    await a_few_turns()
    queue.turns.release(["91"])
    second.cancel()
    await a_few_turns()
    assert queue.order == ["first", "third"]


async def test_who_waits_for_one_and_goes_leaves_the_others_free() -> None:
    queue = Queue()
    queue.guess("first", "92")
    both = queue.guess("both", "91", "92")
    await a_few_turns()
    both.cancel()
    await a_few_turns()
    third = queue.guess("third", "91")
    await a_few_turns()
    assert third.done()
    assert not third.result()


async def test_inside_nobody_else_guesses() -> None:
    queue = Queue()
    async with queue.turns.held("91"):
        queue.guess("other", "91")
        await a_few_turns()
        assert queue.order == []
    await a_few_turns()
    assert queue.order == ["other"]


async def test_a_free_turn_is_taken_without_waiting() -> None:
    queue = Queue()
    assert queue.turns.take_free(["91", "92"])
    assert not queue.turns.take_free(["90", "92"]), "somebody has that of 92"
    queue.guess("next", "92")
    await a_few_turns()
    queue.turns.release(["91", "92"])
    assert not queue.turns.take_free(["92"]), "who waited comes first"
    assert queue.turns.take_free(["90", "91"]), "in vain nothing was taken"
    await a_few_turns()
    assert queue.order == ["next"]


def test_among_workers_only_the_parent_knows_which_turns_are_free() -> None:
    assert not JointTurns(Courier(cast("Wire", None))).take_free(["91"])
