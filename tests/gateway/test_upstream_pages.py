"""The dialogues of our pages, through a gateway in front of a gateway (B72, B73).

They are the same as directly, in every dialect, but for what docs/reference/upstream.md names.
"""

from datetime import timedelta

import pytest
from answers import ANSWERS_CONFIG, LIBRARY, LOCKED, answers, ask_everything
from behind import DIALECTS, behind, in_front
from parity import Difference, dialogues, differences, named

pytestmark = pytest.mark.no_cover

CODES = ("23", "35", "63", "99")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_answers_are_those_that_a_gateway_gives_directly(dialect, tmp_path):
    found: set[Difference] = set()
    played = 0
    async with (
        behind(tmp_path, DIALECTS[dialect]) as rear,
        in_front(tmp_path, DIALECTS[dialect], rear) as front,
    ):
        for login, exchanges in dialogues(CODES):
            terminal = await (front.terminal(login) if login else front.connect())
            for request, directly in exchanges:
                found.update(differences(directly, await terminal.ask(request)))
                played += 1
    assert played > 30
    assert found == named("Dialogues that are not the same as directly")


async def test_wrong_cards_and_pins_are_told_what_a_gateway_tells_directly(tmp_path):
    (tmp_path / "direct").mkdir()
    directly = await answers(tmp_path / "direct")
    dialect = DIALECTS["cp850 with checksums"]
    library = {"config": ANSWERS_CONFIG, "records": LIBRARY}
    async with (
        behind(tmp_path, dialect, **library) as rear,
        in_front(tmp_path, dialect, rear, **library) as front,
    ):
        now = front.clock.now()
        await front.store.record_guess(LOCKED, now, 1, now + timedelta(minutes=15))
        through = await ask_everything(front)
    found: set[Difference] = set()
    for (place, message, situation), answer in through.items():
        if message[:2] in CODES:
            found.update(differences(directly[place, message, situation], answer))
        if message[:2] in CODES and situation == "wrong PIN":
            # Whether the PIN is locked tells nobody anything, not even whether it was right (B20).
            assert answer == through[place, message, "locked PIN, wrong"]
            assert answer == through[place, message, "locked PIN, right"]
    assert found == named("Cards and PINs that are not answered as directly")
