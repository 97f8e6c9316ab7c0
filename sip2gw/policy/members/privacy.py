"""When a patron may be forgotten, and what texts say of them.  (B91, C146)"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from unicodedata import normalize

from msgspec import Struct

from sip2gw.foundation.words import counted
from sip2gw.model import Minor

SURE_CHARACTERS = 6
"""A name or number of fewer characters may mean anything in a text about somebody else."""


class Ties(Struct, frozen=True):
    """What still ties a patron to the library, in numbers."""

    owed: Minor = 0
    """Of all fees, those with an arrangement or an invoice too."""
    credit: Minor = 0
    """What the library owes them for it, above zero."""
    surplus: Minor = 0
    """Paid too much and not given back (C103)."""
    loans: int = 0
    ready_holds: int = 0
    unknown: int = 0
    """Payments and transactions of which nobody knows yet whether they were done (C98)."""
    unsettled: int = 0
    """Those of them that a gateway still has to settle itself."""
    pending: int = 0
    """Payments that staff have not entered in the library system yet (C124)."""


def reasons_to_keep(ties: Ties, money: Callable[[Minor], str]) -> list[str]:
    """Why a patron cannot be forgotten now, each as a part of a sentence; empty if they can."""
    told = (
        (ties.owed, f"{money(ties.owed)} is owed"),
        (ties.credit, f"a credit of {money(ties.credit)} is left"),
        (ties.surplus, f"{money(ties.surplus)} was paid too much and not given back"),
        (ties.loans, f"{counted(ties.loans, 'item is', 'items are')} on loan"),
        (ties.ready_holds, f"{counted(ties.ready_holds, 'hold waits', 'holds wait')} on the shelf"),
        (ties.unknown, f"{counted(ties.unknown, 'transaction has', 'transactions have')}"
         " an unknown outcome"),
        (ties.pending, f"{counted(ties.pending, 'payment is', 'payments are')}"
         " not entered in the library system yet"),
    )  # fmt: skip
    return [reason for value, reason in told if value]


class Wording(Struct, frozen=True):
    """How texts may name one patron."""

    surely: re.Pattern[str]
    """What means them in any text."""
    at_all: re.Pattern[str]
    """What means them in a text about them: short names and numbers, too."""
    fragments: tuple[str, ...]
    """Runs of letters and digits, folded; a text that names them surely contains at least one of
    them when it is folded, too. An empty one is in every text."""

    def names_them(self, text: str, *, own: bool) -> bool:
        """Whether `text` names the patron; `own` says that it is about them."""
        return self._pattern(own).search(normalize("NFC", text)) is not None

    def without(self, text: str, stub: str, *, own: bool) -> str:
        """`text` with `stub` wherever it names the patron; `text` itself if it does not."""
        changed, times = self._pattern(own).subn(stub, normalize("NFC", text))
        return changed if times else text

    def _pattern(self, own: bool) -> re.Pattern[str]:
        return self.at_all if own else self.surely


class Lookout:
    """Looks for many patrons at once: who may be named in a text is found by the fragments.

    Args:
        people: how texts may name each, by patron.
    """

    def __init__(self, people: Mapping[str, Wording]) -> None:
        self._people = people
        self._by_fragment: dict[str, set[str]] = defaultdict(set)
        for one, words in people.items():
            for fragment in words.fragments:
                self._by_fragment[fragment].add(one)
        self._anywhere = frozenset(self._by_fragment.pop("", ()))
        self._lengths = sorted({len(fragment) for fragment in self._by_fragment})
        self._in_run = lru_cache(_RUNS_REMEMBERED)(self._look)

    def named_in(self, text: str) -> list[str]:
        """The patrons whom a text surely names, whoever it is about."""
        candidates = self._anywhere.union(*map(self._in_run, _RUN.findall(_folded(text))))
        return sorted(one for one in candidates if self._people[one].names_them(text, own=False))

    def _look(self, run: str) -> frozenset[str]:
        parts = (
            run[start : start + length]
            for length in self._lengths
            for start in range(len(run) - length + 1)
        )
        known = self._by_fragment
        return frozenset(one for part in parts if part in known for one in known[part])


def wording(numbers: Collection[str], name: str, details: Iterable[str]) -> Wording:
    """How texts may name a patron, in whatever case, normal form or JSON.

    Args:
        numbers: of the cards; a long one is also found as a part of a longer text.
        name: also with the last name first.
        details: e-mail address, telephone, address.
    """
    every = [(text, _anywhere(text)) for text in numbers if text]
    every += [(text, _whole(_spelt(text))) for text in details if text]
    parts = re.split(r"[\s,]+", name.strip(" ,\t\n"))
    if parts != [""]:
        every.append((" ".join(parts), _whole("|".join(_rotations(parts)))))
    sure = [(text, pattern) for text, pattern in every if len(text) >= SURE_CHARACTERS]
    return Wording(
        _any_of(pattern for _, pattern in sure),
        _any_of(pattern for _, pattern in every),
        tuple(dict.fromkeys(_fragment(text) for text, _ in sure)),
    )


_RUNS_REMEMBERED = 1 << 16
"""Texts of one table repeat their words."""
_RUN = re.compile(r"\w+")
_FRAGMENT = re.compile(r"[^\W\U00010000-\U0010ffff]+")  # JSON writes others as two
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})", re.IGNORECASE)
_SAME_WHEN_CASE_IS_IGNORED = {ord("\u0131"): "i", 0x307: None}  # i without a dot, and with two
_NEVER = r"(?!)"
_BEFORE = r"(?:(?<!\w)|(?<=\\[bfnrt]))"  # in JSON a line end is a letter after a backslash
_AFTER = r"(?!\w)"


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or _NEVER, re.IGNORECASE)


def _anywhere(number: str) -> str:
    return _spelt(number) if len(number) >= SURE_CHARACTERS else _whole(_spelt(number))


def _whole(pattern: str) -> str:
    return f"{_BEFORE}(?:{pattern}){_AFTER}"


def _rotations(parts: list[str]) -> Iterator[str]:
    for start in range(len(parts)):
        yield r"[\s,]+".join(_spelt(part) for part in (*parts[start:], *parts[:start]))


def _spelt(text: str) -> str:
    """A pattern for `text` as it is, and as a JSON text may have it."""
    plain = normalize("NFC", text)
    escaped = (json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    return f"(?:{'|'.join(map(re.escape, dict.fromkeys((plain, *escaped))))})"


def _fragment(text: str) -> str:
    """The longest run of letters and digits in it: no way of writing breaks that up."""
    return max(_FRAGMENT.findall(_folded(text)), key=len, default="")


def _folded(text: str) -> str:
    """The same for all ways of writing it: case, normal form, escapes of JSON."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text
    if plain.isascii():
        return plain.lower()
    return normalize("NFC", plain).casefold().translate(_SAME_WHEN_CASE_IS_IGNORED)
