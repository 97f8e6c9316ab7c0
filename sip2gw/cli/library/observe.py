"""`observe …`: what we would have decided, beside what the library system did (B78, C126)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    SinceOption,
    UntilOption,
    configured,
    opened_store,
    passing,
    read_since,
    read_until,
    say,
    terminal_names,
    write_listing,
)
from sip2gw.foundation.words import counted
from sip2gw.staff.observing import differences_first, observed_json

if TYPE_CHECKING:
    from sip2gw.model import ObservedCount

observe = typer.Typer(no_args_is_help=True)

_COLUMNS = ("terminal", "theirs", "ours", "reason", "count")


@observe.callback()
def _observe() -> None:
    pass


@observe.command("report")
def report(
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: Annotated[str | None, typer.Option(metavar="T", help="Only this terminal.")] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """Count what the library system said to terminals with `observe = true`, and what we would say.

    Lines in which the two differ come first. `reason` is ours. `theirs` is granted when the library
    system knows the patron, calls no PIN wrong, and sets none of the flags that refuse here.
    """
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        found = store.observed_counts(terminal=terminal, since=first, until=end)
    known = passing("--terminal", terminal, terminal_names(settings), found)
    counts = differences_first(list(known))
    write_listing(map(observed_json, counts), _COLUMNS, json, csv=csv)
    if not json and not csv:
        say(_next_step(counts, has_library_system=settings.backend.kind == "sip2"))


def _next_step(counts: Sequence[ObservedCount], *, has_library_system: bool) -> str:
    """What to do now, for people."""
    if not counts and not has_library_system:
        return (
            "Nothing was observed, because there is no library system behind the gateway: its own"
            " store decides. Observing needs one; see `[backend]`."
        )
    if not counts:
        return (
            "Nothing was observed. Set `observe = true` in a profile, reload, and wait until"
            " patrons have come."
        )
    total = sum(one.count for one in counts)
    worst = counts[0]
    if worst.theirs == worst.ours:
        agree = "The only answer agrees" if total == 1 else f"All {total} answers agree"
        return f"{agree}. When enough patrons have come, set `observe = false` and reload."
    differing = sum(one.count for one in counts if one.theirs != one.ours)
    differ = "differs" if differing == 1 else "differ"
    return (
        f"{differing} of {counted(total, 'answer')} {differ}. Begin with {worst.reason} at"
        f" {worst.terminal}: `sip2gw door log --reason {worst.reason}` says when,"
        f" `sip2gw explain --terminal {worst.terminal} --card CARD` says why. Change the profile or"
        " the facts, or record that the difference is wanted, before you set `observe = false`."
    )
