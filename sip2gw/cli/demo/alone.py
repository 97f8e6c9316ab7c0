"""The demo of one gateway, whose store is the library."""

from __future__ import annotations

import sys
from pathlib import Path

from sip2gw.cli.demo import places


def run(place: Path, sip2: str, admin: str, *, more: bool) -> int:
    """Run the gateway in this process until it is told to stop; returns the exit status."""
    from sip2gw.daemon.app import serve
    from sip2gw.demo import configuration, library_records

    places.insist_on_own(place)
    file = places.write(place, configuration(sip2, admin))
    config = places.filled(file, library_records)
    token = places.token(config)

    def announce(addresses: list[str], url: str) -> None:
        _announce(addresses[0], url, file, token, more=more)

    return serve(config, announce)


def _announce(sip2: str, admin: str, file: Path, token: str, *, more: bool) -> None:
    """Print logins, cards and dialogues to standard output at once (C53)."""
    from sip2gw.demo import DIALOGUES, PEOPLE, TERMINALS

    program = places.program()
    lines = [
        f"Demo Public Library: SIP2 on {sip2}, configuration {file}. Press Ctrl-C to end it.",
        "",
        *(terminal.line for terminal in TERMINALS),
        "",
        *(person.line for person in PEOPLE),
        "",
        "To try, in another terminal:",
    ]
    shown = DIALOGUES if more else [one for one in DIALOGUES if one.is_first]
    for dialogue in shown:
        lines += ["", dialogue.command(program, sip2), f"  {dialogue.outcome}"]
    if not more:
        lines += ["", f"{len(DIALOGUES) - len(shown)} more to try: `{program} demo --more`"]
    lines += [
        "",
        f"{program} explain --config {file} --terminal door-1 --card {PEOPLE[5].card}",
        "  → every check of that door, and the one that refuses",
        "",
        f"metrics: http://{admin}/metrics",
        f"REST:    http://{admin}/api/v1/openapi.json, with the token {token}",
        f"health:  http://{admin}/readyz http://{admin}/livez",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()
