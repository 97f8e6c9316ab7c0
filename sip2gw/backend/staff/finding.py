"""Finding patrons by what is at hand: a card, an id, a pseudonym of the log, part of a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.stubs import LIVING
from sip2gw.backend.sql.values import date_value
from sip2gw.model.merging import FoundPatron

_PATRONS = queries.fill(
    """
    SELECT p.id, p.name, p.birth_date, p.home_branch FROM patron p
    WHERE {living} AND ({{wanted}}) ORDER BY p.name, p.id""",
    living=LIVING,
)
_WORDS_COMPARED_MAX = 8
"""By the database; a longer condition would take it longer than it saves us."""
_NUMBERS = """
    SELECT number, patron_id FROM card
    UNION SELECT id, COALESCE(merged_into, id) FROM patron"""
"""What is known of in logs, and whose it is now: also ids without a card, and former ones."""
_AT_DOORS = """
    SELECT DISTINCT patron_id FROM access_log
    WHERE patron_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM patron WHERE id = patron_id)
    ORDER BY patron_id"""
"""Whom only a library system knows: the store has no more than their passages."""
_CARDS_OF = "SELECT number FROM card WHERE patron_id = ? ORDER BY number"
_PSEUDONYM = re.compile("[0-9a-f]{12}")
_SPECIAL = re.compile("(?=[!%_])")
"""Where a character begins that LIKE does not take for itself."""


def search(
    connection: Connection, text: str, pseudonym: Callable[[str], str]
) -> Iterator[FoundPatron]:
    """Who has the card, id or pseudonym `text`, and whose name has all its words; by name.

    Case and accents of names do not matter. The database looks all names through, which takes it
    some hundredths of a second for a hundred thousand patrons, and gives us those that may fit.
    """
    text = text.strip()
    holders = _holders(connection, text, pseudonym)
    words = _plain(text).split()
    for patron_id, name, birth_date, home_branch in _candidates(connection, holders, words):
        plain = _plain(name)
        if patron_id in holders or (words and all(word in plain for word in words)):
            cards = tuple(row[0] for row in connection.execute(_CARDS_OF, (patron_id,)).fetchall())
            yield FoundPatron(patron_id, name, date_value(birth_date), home_branch, cards)
    if not holders and _PSEUDONYM.fullmatch(text):
        for (patron_id,) in connection.execute(_AT_DOORS).fetchall():
            if pseudonym(patron_id) == text:
                yield FoundPatron(patron_id, "", None, None, (patron_id,))


def _candidates(
    connection: Connection, holders: Collection[str], words: Sequence[str]
) -> Sequence[Any]:
    """The holders and, by name, all whose name may have these words."""
    compared = words[:_WORDS_COMPARED_MAX]
    wanted = ["p.id = ?"] * len(holders)
    if compared:
        # The database knows no accents, so names that may have some come to us in any case.
        beyond = connection.dialect.has_more_than_ascii.format(text="p.name")
        same = " AND ".join([connection.dialect.is_like.format(text="p.name")] * len(compared))
        wanted.append(f"{beyond} OR ({same})")
    if not wanted:
        return ()
    statement = queries.fill(_PATRONS, wanted=" OR ".join(wanted))
    return connection.execute(statement, (*holders, *map(_pattern, compared))).fetchall()


def _pattern(word: str) -> str:
    """What LIKE takes for a text with this word in it."""
    return f"%{_SPECIAL.sub(r'!', word)}%"


def _holders(connection: Connection, text: str, pseudonym: Callable[[str], str]) -> frozenset[str]:
    found = {row[0] for row in connection.execute(queries.CARD_HOLDER, (text,)).fetchall()}
    if not found and _PSEUDONYM.fullmatch(text):
        numbers = connection.execute(_NUMBERS).fetchall()
        found |= {patron_id for number, patron_id in numbers if pseudonym(number) == text}
    return frozenset(found)


def _plain(text: str) -> str:
    """Without accents and capitals; most names have none of the former."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    return text.casefold()
