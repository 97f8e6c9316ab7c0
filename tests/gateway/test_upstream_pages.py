"""The dialogues of our pages, through a gateway in front of a gateway (B72, B73).

They are the same as directly, in every dialect, but for what docs/reference/upstream.md names.
"""

import pytest
from behind import DIALECTS, behind, in_front
from parity import Difference, dialogues, differences, named

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
    assert found == named()
