"""What the denials of a library system are about, as far as it can be told.  (C121, C123, C150)

SIP2 has a flag for each thing that is denied, but a library system says it with the same flags
whatever the cause: flag 0 alone never proves anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec.structs import replace

from sip2gw.model import LibraryWord
from sip2gw.policy.reasons import NO_FLAGS
from sip2gw.policy.upstream.rules import MoneyDenials
from sip2gw.protocol.fields import PatronFlag

Flags = frozenset[PatronFlag]

MONEY_FLAGS: Flags = frozenset({PatronFlag.EXCESSIVE_FINES, PatronFlag.EXCESSIVE_FEES})

DENYING_FLAGS: Flags = frozenset(
    {PatronFlag.CHARGE_DENIED, PatronFlag.RENEWAL_DENIED, PatronFlag.HOLD_DENIED}
)
"""What takes something away from a patron. Recalls (2) are left out: library systems without them
deny them to everybody."""

_TOO_MANY: Flags = frozenset(
    {
        PatronFlag.TOO_MANY_CHARGED,
        PatronFlag.TOO_MANY_OVERDUE,
        PatronFlag.TOO_MANY_RENEWALS,
        PatronFlag.TOO_MANY_CLAIMS,
        PatronFlag.TOO_MANY_LOST,
        PatronFlag.RECALL_OVERDUE,
        PatronFlag.TOO_MANY_BILLED,
    }
)
"""Each may be a cause. Nobody is all of it at once: some library systems set every flag for one
block, which is then neither a lost card nor a debt."""


class Cause(StrEnum):
    """Why they deny something."""

    CARD_LOST = "card_lost"
    MONEY = "money"
    OTHER = "other"


def cause_of(flags: Flags) -> Cause:
    """The cause of a denial that comes with `flags`, the gravest first."""
    if flags >= _TOO_MANY:
        return Cause.OTHER
    if PatronFlag.CARD_LOST in flags:
        return Cause.CARD_LOST
    return Cause.MONEY if flags & MONEY_FLAGS else Cause.OTHER


def owes_too_much(flags: Flags) -> bool:
    """Whether they say that too much is owed, whatever else they say."""
    return bool(flags & MONEY_FLAGS) and not flags >= _TOO_MANY


def may_be_more_than_money(flags: Flags) -> bool:
    """Whether a denial of `Cause.MONEY` may have another cause too (C150)."""
    return not flags.isdisjoint(_TOO_MANY)


def about_money(
    flags: Flags, texts: Sequence[str], denials: MoneyDenials | None
) -> tuple[Flags, tuple[str, ...]]:
    """Those of `flags` and `texts` that `denials` declares to be about money (C123)."""
    if denials is None or flags >= _TOO_MANY:
        return NO_FLAGS, ()
    if denials.af_not is not None and any(denials.af_not.search(text) for text in texts):
        return NO_FLAGS, ()
    spoken = tuple(text for text in texts if denials.af.search(text))
    return (flags & denials.flags if spoken else NO_FLAGS), spoken


def without_money(word: LibraryWord) -> LibraryWord:
    """What is left of `word` for who comes in order to pay (B26, C123)."""
    if not word.money_texts:
        return word
    return replace(
        word,
        flags=word.flags - word.money_flags,
        texts=tuple(text for text in word.texts if text not in word.money_texts),
        money_flags=NO_FLAGS,
        money_texts=(),
    )
