"""The dialogues of `tests/wire/circulation` through a gateway in front of a gateway (B73).

In every dialect the answers are those that a gateway gives directly, but for what
docs/reference/upstream.md names. Without `SIP2GW_FULL=1` every fourth dialogue is played, in one
of the four dialects.
"""

from shutil import copytree

import pytest
from behind import DIALECTS
from circulated import CONFIG, LIBRARY, dialogues
from desks import desk_behind, desk_in_front, in_front_of
from full import FULL
from parity import Difference, differences, named

pytestmark = pytest.mark.no_cover

SHARE = 4
"""One in so many dialogues is played if not all are."""
SECTION = "Loans, holds and items that are not answered as directly"


async def fill(directory, dialect):
    """Both stores, as each dialogue finds them."""
    async with desk_behind(directory / "behind", dialect, CONFIG, LIBRARY) as rear:
        known = in_front_of(LIBRARY)
        async with desk_in_front(directory / "front", dialect, rear, CONFIG, known):
            pass


async def play(directory, dialect, filled, lines):
    """The differences that one dialogue shows."""
    for place in ("behind", "front"):
        copytree(filled / place, directory / place)
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


async def test_the_answers_are_those_that_a_gateway_gives_directly(tmp_path):
    found: set[Difference] = set()
    told = [param.values[0] for param in dialogues()]
    assert len(told) > 80
    for place, (name, dialect) in enumerate(DIALECTS.items()):
        filled = tmp_path / str(place)
        filled.mkdir()
        await fill(filled, dialect)
        for number, lines in enumerate(told):
            if FULL or number % (SHARE * len(DIALECTS)) == SHARE * place:
                shown = await play(filled / str(number), dialect, filled, lines)
                assert shown <= named(SECTION), name
                found |= shown
    assert found == named(SECTION) or (found and not FULL)
