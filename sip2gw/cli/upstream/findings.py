"""From what was seen of a library system to plain sentences; no I/O (B80)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from sip2gw.cli.upstream.bytes import encoding_of, names_of_line_ends
from sip2gw.cli.upstream.seen import Attempt, Checksum, Exchange, Seen, Verdict
from sip2gw.foundation.words import counted
from sip2gw.protocol.describe import title
from sip2gw.protocol.encoding import Encoding
from sip2gw.protocol.fields import SupportedMessage
from sip2gw.protocol.messages import (
    AcsStatus,
    PatronInformationResponse,
    PatronStatusResponse,
)
from sip2gw.protocol.registry import REQUESTS
from sip2gw.protocol.wire import WireFormat

Level = Literal["ok", "note", "warning", "problem"]
CERTIFICATE_DAYS_MIN = 30
_SLOW = 0.5
"""The part of `timeout_s` that an answer of a quiet moment may take."""
_NO_LIMIT = 999


class Finding(Struct, frozen=True):
    """One sentence."""

    about: str
    level: Level
    text: str


_ORDERS = {
    "login": "93 first, then 99",
    "status_first": "99 first, then 93",
    "none": "no login at all",
}


def findings(seen: Seen, now: datetime) -> Iterator[Finding]:
    """What is to be said about an account, in the order in which it was seen."""
    yield from _connection(seen, now)
    working = seen.working
    if working is None:
        yield from _failures(seen)
        return
    yield from _login(seen, working)
    yield _checksums(seen)
    yield _line_ends(seen)
    yield _encoding(seen)
    status = seen.status
    if status is not None:
        yield from _status(seen, status)
    yield _speed(seen)
    yield from _advice(seen)


# Connection and login ---------------------------------------------------------------------------


def _connection(seen: Seen, now: datetime) -> Iterator[Finding]:
    first = seen.tried[0]
    address = seen.account.address
    if first.unreachable:
        yield Finding("connection", "problem", first.unreachable)
    elif first.tls is None:
        yield Finding(
            "connection",
            "ok" if _is_here(address.host) else "warning",
            f"{address} answers, without TLS"
            + ("" if _is_here(address.host) else ": PINs cross the network in clear text"),
        )
    else:
        yield Finding("connection", "ok", f"{address} answers, with {first.tls.version}")
        yield _certificate(first.tls.name, first.tls.until, now)


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _certificate(name: str, until: datetime | None, now: datetime) -> Finding:
    if until is None:
        return Finding("certificate", "ok", f"of {name or 'nobody named'}")
    is_near = until - now < timedelta(days=CERTIFICATE_DAYS_MIN)
    text = f"of {name}, valid until {until:%Y-%m-%d}"
    return Finding(
        "certificate",
        "warning" if is_near else "ok",
        f"{text}; have it renewed" if is_near else text,
    )


def _login(seen: Seen, working: Attempt) -> Iterator[Finding]:
    for one in seen.tried:
        if not one.works:
            yield Finding("login", "note", f"{_tried(one)}: {_came(one)}")
    configured = seen.account.login_order if seen.account.login else "none"
    text = _ORDERS[working.order]
    if working.order == configured:
        yield Finding("login", "ok", f"works with {text}")
    else:
        yield Finding("login", "warning", f'works with {text}; set login_order = "{working.order}"')


def _tried(one: Attempt) -> str:
    return f"{_ORDERS[one.order]}, {'with' if one.checksums else 'without'} checksums"


_CAME = {
    Verdict.REFUSED: "the login was refused (940)",
    Verdict.AGAIN: "it asked for the message again (96)",
    Verdict.SEQUENCE: "the answer had the sequence number of another request",
    Verdict.UNEXPECTED: "another message came than the answer",
    Verdict.FOREIGN: "what came is not SIP2",
    Verdict.ENDLESS: "a message came that has no end",
    Verdict.SILENT: "no answer came in time",
    Verdict.CLOSED: "it closed the line",
}


def _came(one: Attempt) -> str:
    last = one.last
    if last is None:
        return one.unreachable
    return f"after the {last.code} {_CAME[last.verdict]}"


_NEXT = {
    Verdict.REFUSED: "Check login and password with whoever runs the library system, before too"
    " many wrong logins lock the account there. Some systems want `login_algorithm` blank, or a"
    " `location`.",
    Verdict.AGAIN: "Ask which checksums it expects, and set `checksums`.",
    Verdict.SEQUENCE: "Ask the supplier: without sequence numbers nobody can tell whose answer it"
    " is.",
    Verdict.UNEXPECTED: "Ask the supplier what this port expects first.",
    Verdict.FOREIGN: "Check the port: it may be a telnet, web or TLS port (`tls = true`).",
    Verdict.ENDLESS: "Check the port: it is not SIP2 that is spoken there.",
    Verdict.SILENT: "Check that the account may use this address, and that the line end"
    " (`terminator`) is what the library system expects.",
    Verdict.CLOSED: "Check that the library system admits this machine's address, and whether the"
    " port speaks TLS (`tls = true`).",
}


def _failures(seen: Seen) -> Iterator[Finding]:
    """What was tried, and what to do; a refused login tells the most."""
    reached = [one for one in seen.tried if one.last is not None]
    for one in reached:
        yield Finding("login", "problem", f"{_tried(one)}: {_came(one)}")
    for one in seen.tried[1:]:
        if one.unreachable:
            yield Finding("connection", "problem", one.unreachable)
    telling = next((one for one in reached if one.refused), next(iter(reached), None))
    if telling is not None and telling.last is not None:
        yield Finding("what to do", "problem", _NEXT[telling.last.verdict])


# Dialect ----------------------------------------------------------------------------------------

_SUMS: dict[Checksum, str] = {
    "none": "sends none",
    "bytes": "sums over bytes",
    "characters": "sums over characters",
    "either": "sends right ones; its texts were all ASCII, so whether it sums over bytes or"
    " characters could not be seen",
    "wrong": "sends wrong ones",
    "misnumbered": "sends the sequence numbers of other requests",
}


def checksums_of(seen: Seen) -> Checksum:
    """What kind of checksums it sends."""
    wire = seen.wire(fitting_encoding(seen))
    kinds = {one.checksum(wire) for one in seen.exchanges}
    order: tuple[Checksum, ...] = ("misnumbered", "wrong", "characters", "bytes", "either")
    return next((kind for kind in order if kind in kinds), "none")


def fitting_checksums(seen: Seen) -> Literal["bytes", "characters", "none"]:
    """What the configuration should say."""
    found = checksums_of(seen)
    if found == "either":
        return "bytes" if seen.account.checksums == "none" else seen.account.checksums
    return "none" if found == "wrong" or found == "misnumbered" else found


def _checksums(seen: Seen) -> Finding:
    found, fits = checksums_of(seen), fitting_checksums(seen)
    fine = fits == seen.account.checksums
    advice = "" if fine else f"; set checksums = {_toml_of(fits)}"
    return Finding("checksums", "ok" if fine else "warning", f"{_SUMS[found]}{advice}")


def _toml_of(checksums: str) -> str:
    return {"bytes": "true", "none": "false"}.get(checksums, f'"{checksums}"')


def _line_ends(seen: Seen) -> Finding:
    names = names_of_line_ends(seen.line_ends)
    return Finding("line end", "ok", f"its messages end in {' and '.join(names)}")


def _seen_encoding(seen: Seen) -> Encoding | None:
    return encoding_of(b"".join(one.frame for one in seen.exchanges))


def fitting_encoding(seen: Seen) -> Encoding:
    """What the configuration should say."""
    return _seen_encoding(seen) or seen.account.encoding


def _encoding(seen: Seen) -> Finding:
    configured, found = seen.account.encoding, _seen_encoding(seen)
    if found is None:
        return Finding(
            "encoding",
            "note",
            f"all texts were ASCII; try --card with a patron whose name has an accent, to see"
            f" whether {configured} is right",
        )
    if found == configured:
        return Finding("encoding", "ok", f"its texts look like {found}")
    return Finding("encoding", "warning", f'its texts look like {found}; set encoding = "{found}"')


# Status -----------------------------------------------------------------------------------------


def _status(seen: Seen, status: AcsStatus) -> Iterator[Finding]:
    if not status.online:
        yield Finding("status", "warning", "it says that it is off-line; ask why")
    if status.library_name:
        yield Finding("library", "ok", status.library_name)
    yield _institution(seen.account.institution, status.institution_id)
    flags = {
        "checkin": status.checkin_ok,
        "checkout": status.checkout_ok,
        "renewal": status.renewal_policy,
        "status update": status.status_update_ok,
        "off-line": status.offline_ok,
    }
    told = ", ".join(f"{name} {'yes' if said else 'no'}" for name, said in flags.items())
    yield Finding("flags", "ok", f"on-line {'yes' if status.online else 'no'}, {told}")
    yield from _messages(seen, status)
    yield _patience(seen.account.timeout_s, status)


def _institution(configured: str, theirs: str) -> Finding:
    if theirs == configured:
        return Finding("institution", "ok", f"AO is {theirs!r}, as configured")
    if not theirs:
        return Finding("institution", "note", "its 98 has no AO; the configured one goes up")
    return Finding(
        "institution",
        "warning",
        f"AO of its 98 is {theirs!r}, configured is {configured!r}; set institution, unless the"
        " supplier says otherwise",
    )


def _messages(seen: Seen, status: AcsStatus) -> Iterator[Finding]:
    offered = [one for one in SupportedMessage if one in status.supported_messages]
    missing = [one for one in SupportedMessage if one not in status.supported_messages]
    yield Finding("offers", "ok", ", ".join(map(_named, offered)) or "nothing")
    if missing:
        yield Finding("does not offer", "note", ", ".join(map(_named, missing)))
    yield _doors(seen)
    if seen.account.payments and "37" not in status.supported_messages:
        yield Finding(
            "payments", "note", "its BX has no 37: set payments = false to book payments here"
        )


def _named(code: str) -> str:
    words = title(REQUESTS[code])
    # `SC status` keeps its capitals.
    return f"{code} {words[0].lower() + words[1:] if words[1].islower() else words}"


def passing_messages(seen: Seen) -> frozenset[str]:
    """What passes: the account's word goes before their BX (C152)."""
    if seen.account.messages is not None:
        return seen.account.messages
    return seen.status.supported_messages if seen.status is not None else frozenset()


def passing_63(seen: Seen) -> bool | None:
    """Whether the gateway may send a 63; None: neither 63 nor 23."""
    passing = passing_messages(seen)
    return True if "63" in passing else False if "23" in passing else None


def answers_63(seen: Seen) -> bool | None:
    """Whether a 63 is answered: tried with a card that is known there, else by what passes."""
    for one in seen.card:
        if one.verdict is Verdict.ANSWERED and not _is_of_nobody(one):
            return one.code == "63"
    return passing_63(seen)


def names_another(seen: Seen) -> bool:
    """Whether somebody who is known there has another number in the answer (C151)."""
    return any(one.is_about_another and not _is_of_nobody(one) for one in seen.card)


def _is_of_nobody(one: Exchange) -> bool:
    """Whether the answer is that of somebody who is not known: so may answer who denies a 63."""
    answer = one.answer(WireFormat())
    assert isinstance(answer, PatronInformationResponse | PatronStatusResponse)
    return answer.valid_patron is False


def _doors(seen: Seen) -> Finding:
    answers, passes = answers_63(seen), passing_63(seen)
    if answers and not passes:
        return Finding(
            "patrons",
            "warning",
            "it answers a 63, although its BX denies it; set messages to the codes that work"
            if seen.account.messages is None
            else "it answers a 63, but messages has none; add it",
        )
    if answers:
        return Finding("patrons", "ok", "a 63 is answered")
    if answers is None:
        return Finding("patrons", "problem", _nothing_to_ask(seen))
    text = "only a 23 is answered: birth date, badges and lists are unknown"
    advice = "; if that is so for every card, set messages without 63" if passes else ""
    return Finding("patrons", "warning", f"{text}{advice}")


def _nothing_to_ask(seen: Seen) -> str:
    if seen.account.messages is not None:
        return "messages has neither 63 nor 23: doors cannot ask; add what works"
    text = "neither 63 nor 23 is offered: doors cannot ask"
    if seen.working is not None and seen.working.order == "none":
        return f'{text}; it may want a login: set login, and login_order = "login"'
    return text


def _patience(timeout_s: float, status: AcsStatus) -> Finding:
    period, retries = status.timeout_period_ds, status.retries_allowed
    waits = "for ever" if period == _NO_LIMIT else f"{period / 10:g} s"
    tries = "without limit" if retries == _NO_LIMIT else counted(retries, "time")
    text = f"it lets terminals wait {waits} and try again {tries}"
    if period and period != _NO_LIMIT and period / 10 < timeout_s:
        return Finding(
            "patience", "note", f"{text}; the gateway waits longer (timeout_s = {timeout_s:g})"
        )
    return Finding("patience", "ok", f"{text}; the gateway waits {timeout_s:g} s")


def _speed(seen: Seen) -> Finding:
    slowest: Exchange = max(seen.exchanges, key=lambda one: one.seconds)
    text = f"the slowest answer, to a {slowest.code}, took {slowest.seconds * 1000:.0f} ms"
    limit = seen.account.timeout_s
    if slowest.seconds > limit:
        return Finding("speed", "warning", f"{text}: longer than timeout_s = {limit:g}")
    if slowest.seconds > limit * _SLOW:
        return Finding("speed", "warning", f"{text}: near to timeout_s = {limit:g}")
    return Finding("speed", "ok", text)


def _advice(seen: Seen) -> Iterator[Finding]:
    yield Finding(
        "pooling",
        "note",
        f"the terminals of an account share its {counted(seen.account.connections, 'line')}, so"
        " the library system cannot tell which terminal it was; have one account per branch, and"
        " per till for money",
    )
