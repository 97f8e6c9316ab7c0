"""Asks the library's commands in this process: starting Python takes longer than they do.

What is printed meanwhile by anybody counts as theirs, so nobody else should.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

TIMEOUT_S = 120.0


class Said(NamedTuple):
    """What a command said."""

    status: int
    output: str
    complaints: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its output, of a command that writes JSON lines."""
        return [json.loads(line) for line in self.output.splitlines()]


async def ask(config: Path, *commands: Sequence[str]) -> list[Said]:
    """Run `commands` of `sip2gw` on `config` one after the other.

    Raises:
        TimeoutError: one did not end.
    """
    answers = []
    for words in commands:
        async with asyncio.timeout(TIMEOUT_S):
            answers.append(await asyncio.to_thread(_run, [*words, "--config", str(config)]))
    return answers


def _run(words: list[str]) -> Said:
    from sip2gw.cli import main as command_line

    output, complaints = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    status: object = 0
    with (
        patch.object(sys, "argv", ["sip2gw", *words]),
        redirect_stdout(output),
        redirect_stderr(complaints),
    ):
        try:
            command_line()
        except SystemExit as end:
            status = end.code
    told = []
    for stream in (output, complaints):
        stream.flush()
        told.append(stream.buffer.getvalue().decode())
    return Said(status if isinstance(status, int) else int(status is not None), *told)
