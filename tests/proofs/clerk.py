"""Asks the library's commands, several in one process: starting Python takes longer than they do.

Run as a program, with one command a line on standard input as a JSON list of words, it answers
with one line each: `[status, output, complaints]`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
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
        TimeoutError: they did not end.
    """
    questions = (json.dumps([*words, "--config", str(config)]) for words in commands)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answers, _ = await process.communicate("\n".join(questions).encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return [Said(*json.loads(line)) for line in answers.splitlines()]


def main() -> None:
    """Answer the questions on standard input."""
    answers = [_run(json.loads(line)) for line in sys.stdin]
    sys.stdout.writelines(json.dumps(answer) + "\n" for answer in answers)


def _run(words: list[str]) -> Said:
    from sip2gw.cli import main as command_line

    sys.argv = ["sip2gw", *words]
    output, complaints = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    status: object = 0
    with redirect_stdout(output), redirect_stderr(complaints):
        try:
            command_line()
        except SystemExit as end:
            status = end.code
    told = []
    for stream in (output, complaints):
        stream.flush()
        told.append(stream.buffer.getvalue().decode())
    return Said(status if isinstance(status, int) else int(status is not None), *told)


if __name__ == "__main__":
    main()
