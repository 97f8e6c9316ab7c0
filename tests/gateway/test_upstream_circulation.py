"""The dialogues of `tests/wire/circulation` through a gateway in front of a gateway (B73).

In every dialect the answers are those that a gateway gives directly, but for what
docs/reference/upstream.md names. Without `SIP2GW_FULL=1` only the first dialect plays all
dialogues; each of the others plays its share of them.
"""

import asyncio
import os
from shutil import copytree

import pytest
from behind import DIALECTS
from circulated import CONFIG, LIBRARY, dialogues
from desks import desk_behind, desk_in_front, in_front_of
from parity import Difference, differences, named

FULL = "SIP2GW_FULL" in os.environ
SECTION = "Loans, holds and items that are not answered as directly"


@pytest.fixture(scope="module", params=DIALECTS)
def stores(request, tmp_path_factory):
    """A dialect and its place among them, and a directory with both stores as each dialogue finds
    them."""
    dialect, directory = DIALECTS[request.param], tmp_path_factory.mktemp("desks")
    place = list(DIALECTS).index(request.param)

    async def fill():
        async with desk_behind(directory / "behind", dialect, CONFIG, LIBRARY) as rear:
            known = in_front_of(LIBRARY)
            async with desk_in_front(directory / "front", dialect, rear, CONFIG, known):
                pass

    asyncio.run(fill())
    return dialect, place, directory


async def play(directory, stores, lines):
    """The differences that one dialogue shows."""
    dialect, _, filled = stores
    copytree(filled, directory)
    async with (
        desk_behind(directory / "behind", dialect, CONFIG, []) as rear,
        desk_in_front(directory / "front", dialect, rear, CONFIG, []) as front,
    ):
        terminals = {}
        found: set[Difference] = set()
        answer = ""
        for name, direction, text in lines:
            if direction == "<":
                found.update(differences(text, answer))
                continue
            if name not in terminals:
                terminals[name] = await front.terminal(name)
            answer = await terminals[name].ask(text)
        assert rear.store.self_check() == []
    return found


async def test_the_answers_are_those_that_a_gateway_gives_directly(stores, tmp_path):
    found: set[Difference] = set()
    _, place, _ = stores
    plays_all = FULL or place == 0
    for number, param in enumerate(dialogues()):
        if plays_all or number % len(DIALECTS) == place:
            found |= await play(tmp_path / str(number), stores, param.values[0])
    assert number > 80
    assert found <= named(SECTION)
    assert not plays_all or found == named(SECTION)
