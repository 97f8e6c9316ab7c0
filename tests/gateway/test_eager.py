"""Coroutines without a task: driven by what they wait for, cancelled like one."""

import asyncio
import gc
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from sip2gw.foundation.eager import (
    Cancellable,
    Detached,
    Happening,
    OneWait,
    Suspended,
    start,
    within,
)


async def outcome(suspended: Suspended[Any]) -> Any:
    """What the coroutine ends with."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    suspended.go_on(ended.set_result)
    return await ended


def suspended(coroutine: Coroutine[Any, Any, Any]) -> Suspended[Any]:
    left = start(coroutine)
    assert isinstance(left, Suspended)
    return left


async def test_what_need_not_wait_is_done_at_once() -> None:
    async def work() -> int:
        return 7

    assert start(work()) == 7


async def test_it_goes_on_when_what_it_waits_for_is_done() -> None:
    async def work() -> list[int]:
        return [await first, await asyncio.sleep(0, 2), await second]

    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    left = suspended(work())
    first.set_result(1)
    second.set_result(3)
    assert await outcome(left) == [1, 2, 3]


async def test_a_failure_is_raised_where_it_waits() -> None:
    async def work() -> str:
        try:
            await waits_for
        except OSError:
            return "caught"
        return "passed"

    waits_for = asyncio.get_running_loop().create_future()
    left = suspended(work())
    waits_for.set_exception(OSError())
    assert await outcome(left) == "caught"


async def test_cancelling_cancels_what_it_waits_for() -> None:
    async def work() -> None:
        await waits_for

    waits_for = asyncio.get_running_loop().create_future()
    left = suspended(work())
    left.cancel()
    assert waits_for.cancelled()
    assert isinstance(await outcome(left), asyncio.CancelledError)


async def test_cancelling_between_the_event_and_the_step_still_cancels() -> None:
    """As a task: what was waited for is done, but the coroutine does not get to see it."""

    async def work() -> str:
        try:
            return await waits_for
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "cleaned up"

    waits_for = asyncio.get_running_loop().create_future()
    left = suspended(work())
    waits_for.set_result("never seen")
    left.cancel()
    assert await outcome(left) == "cleaned up"


async def test_a_bug_goes_to_the_loops_exception_handler() -> None:
    async def work() -> None:
        await waits_for
        raise ZeroDivisionError

    told: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    waits_for = loop.create_future()
    suspended(work()).go_on(lambda _: pytest.fail("it did not end"))
    waits_for.set_result(None)
    await asyncio.sleep(0)
    gc.collect()
    assert [type(error) for error in told] == [ZeroDivisionError]


class Gone(asyncio.CancelledError):
    """Why it was cancelled."""


async def test_it_is_told_why_it_was_cancelled() -> None:
    async def work() -> str:
        try:
            await waits_for
        except Gone:
            return "gone"
        return "passed"

    for done_before in (False, True):
        waits_for = asyncio.get_running_loop().create_future()
        left = suspended(work())
        if done_before:
            waits_for.set_result(None)
        left.cancel(Gone())
        assert await outcome(left) == "gone"


async def test_what_ends_well_although_it_was_cancelled_is_not_lost() -> None:
    """A task that has to finish what it does when it is cancelled."""

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 7
        return 0

    async def work() -> int:
        return await task

    task = asyncio.get_running_loop().create_task(stubborn())
    await asyncio.sleep(0)
    left = suspended(work())
    left.cancel(Gone())
    assert await outcome(left) == 7


# Time-outs ----------------------------------------------------------------------------------------


class LateError(Exception):
    """It took too long."""


class Asked:
    """Something that may take long, and what becomes of it."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.cleaned_up = False

    async def work(self) -> int:
        try:
            return await self.answer
        finally:
            self.cleaned_up = True


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def in_no_task(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    """What `coroutine` ends with, begun by a callback of the loop as requests are."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def caught() -> Any:
        try:
            return await coroutine
        except Exception as error:
            return type(error)

    def begin() -> None:
        assert asyncio.current_task() is None
        suspended(caught()).go_on(ended.set_result)

    asyncio.get_running_loop().call_soon(begin)
    return ended


async def test_what_comes_in_time_is_the_result() -> None:
    asked = Asked()
    ended = in_no_task(within(5, asked.work(), LateError))
    await turns()
    asked.answer.set_result(7)
    assert await ended == 7


async def test_what_fails_in_time_fails_as_it_does() -> None:
    asked = Asked()
    ended = in_no_task(within(5, asked.work(), LateError))
    await turns()
    asked.answer.set_exception(ZeroDivisionError())
    assert await ended is ZeroDivisionError


async def test_what_takes_too_long_is_cancelled() -> None:
    asked = Asked()
    assert await in_no_task(within(0.001, asked.work(), LateError)) is LateError
    await turns()
    assert asked.cleaned_up


async def test_without_time_nothing_is_begun() -> None:
    asked = Asked()
    with pytest.raises(LateError):
        start(within(0, asked.work(), LateError))
    assert not asked.cleaned_up
    assert not asked.answer.cancelled()


async def test_who_is_cancelled_while_waiting_cancels_the_work_and_is_told_why() -> None:
    asked = Asked()
    left = suspended(within(5, asked.work(), LateError))
    await turns()
    left.cancel(Gone())
    assert isinstance(await outcome(left), Gone)
    await turns()
    assert asked.cleaned_up


async def test_asyncios_own_time_out_finds_no_task_in_the_first_step() -> None:
    """Nor would it if what has suspended ran in a task."""

    async def work() -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(0)

    refused: list[str] = []

    def begin() -> None:
        try:
            start(work())
        except RuntimeError as error:
            refused.append(str(error))

    asyncio.get_running_loop().call_soon(begin)
    await turns()
    assert refused == ["Timeout should be used inside a task"]


# Work that goes on without its caller -------------------------------------------------------------


class Judged:
    """Some work of `Detached`, which waits for `said`."""

    def __init__(self) -> None:
        self.said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.left: set[asyncio.Future[None]] = set()
        self.ended = 0
        self.heard: list[str] = []

    async def work(self) -> str:
        self.heard.append(await self.said)
        return self.heard[-1]

    def end(self) -> None:
        self.ended += 1

    def run(self) -> Coroutine[Any, Any, str]:
        self.detached: Detached[str] = Detached(self.left, self.end)
        return self.detached.run(self.work())


@pytest.mark.parametrize("waits", [False, True])
async def test_its_result_is_the_callers(waits: bool) -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    if waits:
        await turns(5)
    judged.said.set_result("right")
    assert await caller == "right"
    assert (judged.ended, judged.left) == (1, set())


@pytest.mark.parametrize("waits", [False, True])
async def test_its_failure_is_the_callers(waits: bool) -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    if waits:
        await turns(5)
    judged.said.set_exception(OSError("broken"))
    with pytest.raises(OSError, match="broken"):
        await caller
    assert (judged.ended, judged.left) == (1, set())


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_gives_up_leaves_it_to_its_end(fails: bool) -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    await turns(5)
    caller.cancel()
    await turns(5)
    assert caller.cancelled()
    assert (judged.ended, len(judged.left)) == (0, 1)
    left = next(iter(judged.left))
    if fails:
        judged.said.set_exception(OSError())
    else:
        judged.said.set_result("right")
    await left
    assert judged.heard == ([] if fails else ["right"])
    assert (judged.ended, judged.left) == (1, set())


async def test_giving_up_in_the_turn_of_its_end_leaves_nothing() -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    await turns(5)
    judged.said.set_result("right")
    await asyncio.sleep(0)
    caller.cancel()
    await turns(5)
    assert judged.heard == ["right"]
    assert (judged.ended, judged.left) == (1, set())


async def test_when_what_it_waits_for_is_cancelled_so_is_the_caller() -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    await turns(5)
    judged.said.cancel()
    await turns(5)
    assert caller.cancelled()
    assert (judged.ended, judged.left) == (1, set())


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_joins_hears_the_same_though_others_give_up(
    leaves: bool, fails: bool
) -> None:
    judged = Judged()
    caller = asyncio.create_task(judged.run())
    await turns(5)
    joined, gone = (asyncio.ensure_future(judged.detached.join()) for _ in range(2))
    gone.cancel()
    if leaves:
        caller.cancel()
    await turns(5)
    if fails:
        judged.said.set_exception(OSError("broken"))
        with pytest.raises(OSError, match="broken"):
            await joined
    else:
        judged.said.set_result("right")
        assert await joined == "right"
    await asyncio.gather(caller, return_exceptions=True)
    assert (caller.cancelled(), gone.cancelled(), judged.ended) == (leaves, True, 1)


async def test_when_what_it_waits_for_is_cancelled_so_is_who_has_joined() -> None:
    for leaves in (False, True):
        judged = Judged()
        caller = asyncio.create_task(judged.run())
        await turns(5)
        joined = asyncio.ensure_future(judged.detached.join())
        if leaves:
            caller.cancel()
        await turns(5)
        judged.said.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joined
        assert judged.ended == 1


# Work that somebody else cancels ------------------------------------------------------------------


class Asking:
    """A `Cancellable` question that is judged by a `Detached`, whose caller may go."""

    def __init__(self, wait: Any) -> None:
        self.wait = wait
        self.heard: list[str] = []
        self.asking: Cancellable[str] = Cancellable()
        detached: Detached[None] = Detached(set(), lambda: None)
        begun = start(detached.run(self.judge()))
        assert isinstance(begun, Suspended)
        self.suspended = begun
        begun.go_on(lambda result: None)

    async def ask(self) -> str:
        try:
            await self.wait
        except asyncio.CancelledError:
            self.heard.append("is not asked any more")
            raise
        return "answered"

    async def judge(self) -> None:
        try:
            self.heard.append(await self.asking.run(self.ask()))
        except asyncio.CancelledError:
            self.heard.append("counts")


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_is_cancelled_ends_where_it_waits_and_the_rest_goes_on(leaves: bool) -> None:
    for wait in (Happening(), asyncio.get_running_loop().create_future()):
        asking = Asking(wait)
        if leaves:
            asking.suspended.cancel()
        asking.asking.cancel()
        assert asking.heard == []
        await turns(5)
        assert asking.heard == ["is not asked any more", "counts"]


async def test_whoever_leaves_does_not_cancel_it() -> None:
    happening = Happening()
    asking = Asking(happening)
    asking.suspended.cancel()
    await turns(5)
    assert asking.heard == []
    happening.happen()
    await turns(5)
    assert asking.heard == ["answered"]


async def test_what_has_happened_is_not_waited_for() -> None:
    happening = Happening()
    happening.happen()

    async def ask() -> str:
        await happening
        return "at once"

    assert start(ask()) == "at once"


# Going on where a wait ends ---------------------------------------------------------------------


class Waiting:
    """A coroutine that waits once and says how that went."""

    def __init__(self, fails=False):
        self.wait, self.fails = OneWait(), fails
        self.said: list[str] = []
        begun = start(self.work())
        assert isinstance(begun, Suspended)
        self.suspended = begun
        begun.go_on(lambda result: self.said.append(repr(result)))

    async def work(self):
        await Once(self.wait)
        if self.fails:
            raise ValueError("a bug in the request")
        return "went on"


class Once:
    def __init__(self, wait):
        self.wait = wait

    def __await__(self):
        yield self.wait.begun()


async def test_a_request_goes_on_inside_of_the_end_of_its_wait():
    waiting = Waiting()
    waiting.wait.end()
    assert waiting.said == ["'went on'"]


async def test_or_in_a_later_turn_if_whoever_ends_it_has_more_to_do():
    waiting = Waiting()
    waiting.wait.end_later()
    assert waiting.said == []
    await asyncio.sleep(0)
    assert waiting.said == ["'went on'"]


async def test_a_wait_that_is_cancelled_tells_so_in_a_later_turn():
    waiting = Waiting()
    waiting.suspended.cancel()
    waiting.wait.end_later()
    assert waiting.said == []
    await asyncio.sleep(0)
    assert waiting.said == ["CancelledError()"]


async def test_a_bug_of_the_request_is_not_the_fault_of_whoever_ends_its_wait():
    waiting, told = Waiting(fails=True), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    waiting.wait.end()
    assert [str(context["exception"]) for context in told] == ["a bug in the request"]


async def test_a_task_goes_on_as_after_any_future():
    wait = OneWait()

    async def work():
        await Once(wait)
        return "went on"

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    wait.end()
    assert not task.done()
    assert await task == "went on"


async def test_whoever_hangs_up_in_such_a_wait_leaves_the_work_to_its_end():
    """A guess at a library system: its caller goes, its answer comes, and it is counted."""
    question = Question()
    left: set[asyncio.Future[None]] = set()
    work: Detached[None] = Detached(left, lambda: None)
    begun = start(work.run(question.work()))
    assert isinstance(begun, Suspended)
    begun.go_on(lambda result: None)
    begun.cancel()
    await turns(5)
    (gone,) = left
    question.answer("wrong")
    await turns(5)
    assert question.heard == ["wrong"]
    assert gone.done()


class Question:
    """What waits for one answer by a wait that is cancelled with its caller, and then by another,
    as a request to a library system does."""

    def __init__(self) -> None:
        self.said: str | None = None
        self.heard: list[str] = []
        self.waits: list[OneWait] = []

    async def work(self) -> None:
        self.heard.append(await self)

    def __await__(self) -> Generator[Any, None, str]:
        while self.said is None:
            self.waits.append(OneWait())
            yield self.waits[-1].begun()
        return self.said

    def answer(self, said: str) -> None:
        self.said = said
        if not self.waits[-1].done():
            self.waits[-1].end()
