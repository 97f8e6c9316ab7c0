"""docs/tour.md names functions that are there, and passes the main stations."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import sip2gw

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
ROOMS = {path.stem for path in Path(sip2gw.__file__).parent.iterdir()}
STATIONS = (
    *("data_received", "receive", "next_frame", "next_event", "parse_request_body", "start"),
    *("answer", "patron_status", "identify", "find_by_card", "gather_facts", "assess_holder"),
    *("decide_access", "log_access", "fee_paid", "find_payer", "book_payment", "submit", "book"),
    *("decide_allocation", "settle", "send", "serialise", "seal", "observe"),
    *("judge", "going_up", "ask", "send_body", "asked_by", "read_facts", "record_of"),
    *("lay_over", "compare"),
)
"""By the last part of the name: they may move."""


def named(text: str) -> list[str]:
    """The dotted names in backticks that begin with a room of the package."""
    found = re.findall(r"`([a-z_]+(?:\.\w+)+)`", text)
    return [name for name in found if name.partition(".")[0] in ROOMS]


def is_there(name: str) -> bool:
    """Whether `name` is a module of ours or something in one."""
    found: object = sip2gw
    path = "sip2gw"
    for part in name.split("."):
        path = f"{path}.{part}"
        if not hasattr(found, part):
            try:
                importlib.import_module(path)
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("name", ["protocol.codec.read_mind", "protocol.nowhere", "web.x.Y.z"])
def test_what_is_not_there_is_noticed(name: str) -> None:
    assert named(f"`{name}`") == [name]
    assert not is_there(name)


def test_every_function_that_the_tour_names_exists() -> None:
    gone = [name for name in named(TOUR) if not is_there(name)]
    assert not gone, f"docs/tour.md names what sip2gw does not have: {', '.join(gone)}"


def test_the_tour_passes_the_main_stations() -> None:
    passed = {name.rpartition(".")[2] for name in named(TOUR)}
    missing = [station for station in STATIONS if station not in passed]
    assert not missing, f"docs/tour.md does not pass: {', '.join(missing)}"
