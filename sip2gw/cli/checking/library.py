"""What the configuration expects of the store, and is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from sip2gw.cli.checking.words import places
from sip2gw.model import EVERY_BRANCH

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config, Terminal
    from sip2gw.model import Badge

IMPORTED_AT_LEAST = timedelta(days=7)


def about_store(
    config: Config, store: Library, last_import: datetime | None, now: datetime
) -> Iterator[str]:
    """What is doubtful about the store, which is only read."""
    if config.backend.kind == "store":
        yield from _about_import(last_import, now)
    today = now.astimezone(config.zone).date()
    yield from _about_badges(config, store, today)
    for kind in ("bar", "pass"):
        yield from _about_entries_of_store(config, store, kind, today)
        yield from _about_entries_of_file(config, store, kind, today)


def _about_import(last: datetime | None, now: datetime) -> Iterator[str]:
    if last is None:
        yield "store: nobody has imported library data yet; load it with `sip2gw import FILE`"
    elif now - last > IMPORTED_AT_LEAST:
        yield (
            f"store: library data was last imported on {last:%Y-%m-%d}, {(now - last).days} days"
            " ago; look why the nightly `sip2gw import` does not run"
        )


def _about_badges(config: Config, store: Library, today: date) -> Iterator[str]:
    wanted: dict[str, list[str]] = {}
    for terminal in config.terminals.values():
        door = terminal.profile.door
        if door is None or door.direction == "out" or _tells_badges(config, terminal):
            continue
        for code in door.require_badges:
            wanted.setdefault(code, []).append(terminal.profile.name)
    known = {badge.code: badge for badge in store.badges()} if wanted else {}
    for code, profiles in wanted.items():
        missing = _missing(store, code, known.get(code), today)
        if missing is not None:
            keys = [f"profiles.{name}.door.require_badges" for name in dict.fromkeys(profiles)]
            yield f"{config.path}: {places(keys)}: badge {code} {missing}"


def _tells_badges(config: Config, terminal: Terminal) -> bool:
    """Whether a library system behind the gateway says who has which badge."""
    account = config.accounts.get(terminal.upstream or "")
    return account is not None and account.facts.badges is not None


def _missing(store: Library, code: str, badge: Badge | None, today: date) -> str | None:
    """Why nobody gets in with a badge, and what to do; None if somebody does."""
    from sip2gw.policy.members.badges import has_expired

    if badge is None:
        return (
            f"is not in the store, so nobody has it; define it with `sip2gw badge define {code}"
            f" --name NAME`, then `sip2gw badge assign {code} CARD`"
        )
    if not badge.active:
        return f"is not active, so it admits nobody; see `sip2gw badge activate {code}`"
    if all(has_expired(holder, today) for holder in store.badge_holders(code)):
        return f"is held by nobody; assign it with `sip2gw badge assign {code} CARD`"
    return None


def _about_entries_of_store(
    config: Config, store: Library, kind: str, today: date
) -> Iterator[str]:
    """Numbers only: cards are not for logs, and the list shows which they are (B16)."""
    entries = store.door_entries(kind)
    unknown = store.unknown_cards(entry.card for entry in entries)
    doubts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry.valid_until is not None and entry.valid_until < today:
            doubts[entry.branch, "is over"] += 1
        if entry.card in unknown and config.backend.kind == "store":
            doubts[entry.branch, "is of a card that nobody has"] += 1
    for (branch, doubt), count in doubts.items():
        where = "every branch" if branch == EVERY_BRANCH else f"branch {branch}"
        entry_words = "1 entry" if count == 1 else f"{count} entries"
        yield (
            f"store: {entry_words} of the {kind} list of {where}: each {doubt} and has no effect;"
            f" see `sip2gw door {kind} list`, then remove it with `sip2gw door {kind} remove`"
        )


def _about_entries_of_file(config: Config, store: Library, kind: str, today: date) -> Iterator[str]:
    """By their place in the file; a library system may know cards that the store does not."""
    for code, branch in config.branches.items():
        entries = [*(branch.bar if kind == "bar" else branch.passes)]
        unknown = store.unknown_cards(entry.card for entry in entries)
        for number, entry in enumerate(entries, 1):
            where = f"{config.path}: branches.{code}.{kind}, entry {number}"
            if entry.until is not None and entry.until < today:
                yield f"{where}: ended on {entry.until}; delete it"
            if entry.card in unknown and config.backend.kind == "store":
                yield (
                    f"{where}: nobody has this card, so the entry has no effect; correct its"
                    " number, or delete it"
                )
