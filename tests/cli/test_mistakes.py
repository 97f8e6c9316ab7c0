"""Each mistake of the reference page can be mended from the message alone."""

from __future__ import annotations

import mistakes
import pytest
from mistakes import Desk, Mistake, all_mistakes

from sip2gw.cli.failures import FAILED, WRONG_USAGE

WORDS_OF_PYTHON = (
    "Traceback",
    "Error(",
    "errno",
    "None",
    "NoneType",
    "<class",
    "pydantic",
    "asyncpg",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.mark.parametrize("mistake", all_mistakes(), ids=lambda one: one.what)
def test_a_mistake_is_answered_as_the_page_says(desk: Desk, mistake: Mistake) -> None:
    outcome = desk.make(mistake)
    assert outcome.status == mistake.status, outcome.said
    assert not [word for word in WORDS_OF_PYTHON if word in outcome.said]
    assert "'s secret" not in outcome.said, "no password is shown"
    lines = outcome.said.splitlines()
    assert len(set(lines)) == len(lines), "nothing is said twice"
    row = mistakes.row(mistake, outcome)
    assert row in mistakes.PAGE.read_text("utf-8"), "python tests/support/mistakes.py"


def test_the_page_has_nothing_else() -> None:
    rows = [line for line in mistakes.PAGE.read_text("utf-8").splitlines() if line[:2] == "| "]
    titles = len(mistakes.MISTAKES)
    assert len(rows) - titles == len(all_mistakes()) >= 60
    assert {one.status for one in all_mistakes()} == {FAILED, WRONG_USAGE}


def test_a_slip_in_a_password_file_shows_no_password(desk: Desk) -> None:
    two_lines = Mistake(
        "two lines",
        edit=('password = "a door\'s secret"', 'password_file = "door.password"'),
        files={"door.password": "canary-4711\nagain\n"},
    )
    said = desk.make(two_lines).said
    assert "terminals.door-1.password_file: must be one line" in said
    assert "canary" not in said
