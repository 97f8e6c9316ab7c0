"""No answer to a wrong card or PIN tells more than it may (B18-B21, C99, C112, C115)."""

import pytest
import pytest_asyncio
from answers import (
    HIDING,
    MAIN,
    PAGE,
    PLACES,
    SITUATIONS,
    answers,
    page_of,
)

NO_PIN_NEEDED = ("11 checkout", "29 renew")
"""A wrong PIN refuses these, a missing one does not (C20)."""
WRONG = [name for name in SITUATIONS if name.startswith(("wrong", "locked"))]
MISSING = ["no PIN", "no PIN, second card", "empty PIN"]
UNKNOWN = ["unknown card", "unknown card, no PIN", "replaced card"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(tmp_path_factory):
    return await answers(tmp_path_factory.mktemp("answers"))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_is_what_the_gateway_answers(found):
    assert page_of(found) == PAGE.read_text(), "renew it with: python tests/support/answers.py"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", PLACES)
async def test_wrong_and_locked_are_told_alike_whatever_the_card(found, place):
    for message in {key[1] for key in found if key[0] == place}:
        assert len({found[place, message, situation] for situation in WRONG}) == 1, message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", PLACES)
async def test_nothing_of_the_patron_is_told(found, place):
    personal = ("Mia", "Lou", "7.00", "ONBE", "mia@", "BV", "GL", "PB", MAIN)
    for (where, message, situation), answer in found.items():
        if where == place and not (message in NO_PIN_NEEDED and situation in MISSING):
            assert not [text for text in personal if text in answer], (message, situation)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", HIDING)
async def test_hidden_cards_are_told_like_unknown_ones(found, place):
    for message in {key[1] for key in found if key[0] == place}:
        alike = [*WRONG, *UNKNOWN, *(MISSING if message not in NO_PIN_NEEDED else ())]
        assert len({found[place, message, situation] for situation in alike}) == 1, message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", PLACES)
async def test_not_even_the_main_cards_number_is_told(found, place):
    """C112: AA is as scanned."""
    told = [answer for (where, *_), answer in found.items() if where == place]
    assert not [answer for answer in told if f"AA{MAIN}" in answer]
