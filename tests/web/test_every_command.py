"""Each command but the local ones has its resource (B84), so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sip2gw.cli.tree import Commands
from sip2gw.staff.actions import ACTIONS
from sip2gw.web.api.app import application, description

WITH_FILES = {"import", "export"}
"""They read and write files of their machine, as large as a library."""


def words_of(commands: Any, above: str = "") -> Iterator[str]:
    """The words of each command, down to the last."""
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        if below is None:
            yield f"{above}{name}"
        else:
            yield from words_of(below, f"{above}{name} ")


def test_each_command_but_the_local_ones_has_its_resource() -> None:
    described = description(application())["paths"].values()
    there = {one["x-command"] for operations in described for one in operations.values()}
    wanted = {words for words in words_of(Commands()) if words in ACTIONS} - WITH_FILES
    assert {"payment undo", "support table list", "reload"} <= wanted, "the walk finds commands"
    assert wanted - there == set()
