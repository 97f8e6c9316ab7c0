"""Work for after an answer: in its order, bounded, each terminal for itself (B78, C126)."""

import asyncio

from sip2gw.shared.afterwards import WAITING_MAX, Afterwards


def noting(done, word):
    async def work():
        await asyncio.sleep(0)
        done.append(word)

    return work


async def test_nothing_is_done_in_the_turn_that_asks_for_it():
    afterwards = Afterwards()
    done: list[object] = []
    assert afterwards.do("door-1", noting(done, 1))
    assert afterwards.do("door-1", noting(done, 2))
    assert done == []
    await afterwards.done()
    assert done == [1, 2]
    await afterwards.done()


async def test_too_much_is_dropped_and_other_terminals_do_not_notice():
    afterwards = Afterwards()
    done: list[object] = []
    taken = [afterwards.do("door-1", noting(done, n)) for n in range(WAITING_MAX + 2)]
    assert taken == [True] * WAITING_MAX + [False] * 2
    assert afterwards.do("door-2", noting(done, "other"))
    await afterwards.done()
    assert done.index("other") < 3
    assert [word for word in done if word != "other"] == list(range(WAITING_MAX))
    assert afterwards.do("door-1", noting(done, "later"))
    await afterwards.done()
    assert done[-1] == "later"


async def test_a_fault_is_told_and_what_waits_is_done_all_the_same():
    async def broken():
        raise LookupError

    afterwards = Afterwards()
    done: list[object] = []
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    afterwards.do("door-1", broken)
    afterwards.do("door-1", noting(done, 1))
    await afterwards.done()
    assert [type(context["exception"]) for context in told] == [LookupError]
    assert done == [1]
