"""The command line: thin commands over the services."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from sip2gw.daemon.signals import noted_early
from sip2gw.foundation.garbage import collect_rarely

INTERRUPTED = 130
"""The status of a command that was ended with Ctrl-C, as shells count it."""


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    collect_rarely()
    try:
        with noted_early() if sys.argv[1:2] == ["serve"] else nullcontext():
            # Imported here: it takes a while, and signals may arrive in the meantime.
            from sip2gw.cli.app import main as run

            run()
    except KeyboardInterrupt:  # before the command began
        sys.exit(INTERRUPTED)


__all__ = ["INTERRUPTED", "main"]
