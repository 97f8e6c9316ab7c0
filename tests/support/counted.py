"""A gateway that tells how many tasks its event loop has.

    python tests/support/counted.py REPORT serve --config FILE

is `sip2gw serve`, and keeps in REPORT how many there are, and how many there were at most.
"""

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

LOOK_EVERY_S = 0.05


class Tasks(NamedTuple):
    """Of the loop of a gateway."""

    now: int
    most: int


def program(report):
    """What Python runs instead of `-m sip2gw`."""
    return (str(Path(__file__)), str(report))


def tasks(report):
    """What the gateway has told last."""
    return Tasks(*map(int, report.read_text().split()))


def main():
    from sip2gw import cli
    from sip2gw.daemon import app

    report = Path(sys.argv.pop(1))
    run = app.App.run

    async def counted(self, on_ready):
        loop, most = asyncio.get_running_loop(), 0

        def look():
            nonlocal most
            now = len(asyncio.all_tasks(loop))
            most = max(most, now)
            new = report.with_suffix(".new")
            new.write_text(f"{now} {most}")
            new.replace(report)  # whoever reads it finds all of it
            loop.call_later(LOOK_EVERY_S, look)

        look()
        return await run(self, on_ready)

    app.App.run = counted  # type: ignore[method-assign]
    cli.main()


if __name__ == "__main__":
    main()
