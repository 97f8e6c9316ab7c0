"""What a library system has said of a patron, in plain words for `explain`.  (B70, C121, C150)"""

from __future__ import annotations

from collections.abc import Iterable

from sip2gw.model import LibraryWord, Until
from sip2gw.policy.upstream.denials import MONEY_FLAGS, Cause, cause_of
from sip2gw.protocol.fields import PatronFlag

_END_WORDS = {
    Until.UNMAPPED: "no field is mapped to its end, so the library system's flag 0 decides",
    Until.UNREADABLE: "the library system says no end that can be read",
    Until.BY_FLAGS: "the library system says no end that can be read, so its flag 0 decides",
}


def flag_words(flags: Iterable[int]) -> str:
    """The names of patron status flags, with their numbers."""
    named = (PatronFlag(flag) for flag in sorted(flags))
    return ", ".join(f"{flag.value} ({flag.name.lower().replace('_', ' ')})" for flag in named)


def denial_words(word: LibraryWord) -> str:
    """The flags that were set."""
    if not word.flags:
        return "the library system sets no flag"
    return f"the library system sets flags {flag_words(word.flags)}"


def end_words(word: LibraryWord) -> str:
    """Why the end of a membership is not known, and what counts instead."""
    return _END_WORDS.get(word.until, "its end is unknown")


def card_words(word: LibraryWord) -> str:
    """What flag 4 says; empty if nothing."""
    lost = cause_of(word.flags) is Cause.CARD_LOST
    return "; the library system says that it is lost (flag 4)" if lost else ""


def debt_words(word: LibraryWord) -> str:
    """What the money flags say, and whether they are all there is."""
    money = word.flags & MONEY_FLAGS
    if word.fee_amount is not None:
        return f"the library system sets flags {flag_words(money)}" if money else ""
    decisive = flag_words(money) or "neither 10 nor 11"
    return f"the library system does not say how much is owed, so its flags decide: {decisive}"
