"""The tables, as numbered migrations.

Amounts are minor units (BIGINT), times UTC text, dates ISO text, lists JSON text, flags 0/1. The
schema itself enforces the invariants: one open loan per item, one head per child, each function of
an account given once, one payment per key, foreign keys everywhere.
"""

from __future__ import annotations

from msgspec import Struct

from sip2gw.backend.sql.migrations import desk, library, members, money, rights


class NewCheck(Struct, frozen=True):
    """The CHECK of one column replaced by another that all rows pass, too."""

    table: str
    column: str
    before: str
    """As it stands in the schema, character by character."""
    after: str


class Migration(Struct, frozen=True):
    """One step of the schema.

    `append_only` names tables whose rows never change afterwards, `checks` what columns may hold
    from now on.
    """

    number: int
    title: str
    statements: tuple[str, ...]
    append_only: tuple[str, ...] = ()
    checks: tuple[NewCheck, ...] = ()


_PAYMENT_STATUS = NewCheck(
    "payment",
    "status",
    "status IN ('booked', 'unknown', 'undone')",
    "status IN ('booked', 'unknown', 'refused', 'undone')",
)

MIGRATIONS = (
    Migration(
        1,
        "the library, its money and the door log",
        library.PEOPLE + library.STOCK + money.FEES_AND_LEDGER + library.OPERATION,
        append_only=("ledger_transaction", "ledger_entry"),
    ),
    Migration(
        2, "who is inside, the doors' lists, who asked for names", library.DOORS, ("reveal",)
    ),
    Migration(
        3, "the queues of holds, transactions to repeat or cancel, reviews", library.CIRCULATION
    ),
    Migration(
        4, "a passage is a door and a card", ("ALTER TABLE presence RENAME terminal TO passage",)
    ),
    Migration(5, "what is lost among a patron's loans", ()),
    Migration(6, "who borrowed what lately, where the library wants to know", library.HISTORY),
    Migration(7, "what a person has to look at, and what became of it", desk.REVIEWS),
    Migration(8, "whether somebody has had a copy since; holds put back with their terms", ()),
    Migration(9, "credits; what was paid too much, and given back", ()),
    Migration(
        10, "refused payments, and when a terminal says it took money", money.REFUSED_PAYMENTS
    ),
    Migration(11, "terminals whose password was right", library.LOGINS),
    Migration(12, "wrong PINs counted for the patron, whatever the card", library.PATRONS_FAILURES),
    Migration(
        13, "what nobody knew whether it was done", money.ATTEMPTS, checks=(_PAYMENT_STATUS,)
    ),
    Migration(14, "which attempt a transaction was", library.DOERS),
    Migration(
        15,
        "memberships: all keys; items: from what age, what a late return costs at most",
        members.MEMBERSHIP_KEYS,
    ),
    Migration(16, "account maintenance: fees, notices given, last activity", members.MAINTENANCE),
    Migration(17, "notices to patrons", members.OUTBOX),
    Migration(18, "what people follow up: customer support", desk.SUPPORT),
    Migration(19, "patrons who are ended, and stubs for those who are forgotten", members.PRIVACY),
    Migration(20, "what the gateway tells staff by itself, and what they answer", desk.FOLLOW_UPS),
    Migration(
        21, "a badge's own days, who assigned it when and why; merges", members.BADGE_HISTORY
    ),
    Migration(22, "wrong PINs at a library system behind the gateway", members.GUESSES),
    Migration(23, "what a library system decided where we only observe", library.THEIRS),
    Migration(24, "what nobody knows whether a library system has done it", money.SENDINGS),
    Migration(25, "what of a payment goes up to a library system", money.SHARES),
    Migration(26, "what was paid that staff tell a library system", money.EXPORTS),
    Migration(27, "what staff are told of payments at a library system", money.SHARES_TOLD),
    Migration(28, "loans and returns taken while a library system was away", library.JOURNAL),
    Migration(
        29,
        "what staff change of today's opening hours",
        library.CALENDAR_CHANGES,
        append_only=("calendar_change",),
    ),
    Migration(30, "from which hash of a library system a PIN hash was made", members.PIN_ORIGIN),
    Migration(31, "tokens, the audit log, answers to repeat", rights.TOKENS_AND_AUDIT),
    Migration(32, "who proposed a relationship", members.PROPOSERS),
    Migration(33, "which patrons have changed, roughly", library.CHANGED_PARTS),
    Migration(
        34,
        "the door log and payments in the order of their time",
        library.DOOR_LOG_IN_ORDER + money.PAYMENTS_IN_ORDER,
    ),
    Migration(35, "what goes up for a debtor, found by them alone", money.SHARES_OF_DEBTOR),
    Migration(36, "which numbers with wrong PINs are one patron's", members.GUESSES_TOGETHER),
    Migration(37, "from whom a receipt number was taken over", money.NUMBERS_TAKEN_OVER),
    Migration(
        38, "what was paid for what is cancelled is a surplus; to whom a copy is on its way", ()
    ),
    Migration(39, "a second reading of a card at a door changes nothing of the first", ()),
    Migration(
        40, "what may still be on a debtor's list, found by itself", money.SHARES_STILL_ON_LISTS
    ),
)

SCHEMA_NUMBER = MIGRATIONS[-1].number
"""The schema that this program reads and writes."""
