"""What is special to PostgreSQL: placeholders, collation, locks, triggers, functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import count

from sip2gw.backend.database import Connection
from sip2gw.backend.postgres.fence import SETTLE_CIRCULATION, SETTLE_PAYMENT
from sip2gw.backend.postgres.functions import (
    CIRCULATION_FACTS,
    book_payment_function,
    circulate_function,
)
from sip2gw.backend.postgres.released import BOOK_PAYMENT_1, ENTER_BRANCH_2
from sip2gw.backend.sql.migrations.money import (
    GUARDED_IN_ENTRIES,
    LEDGER_KINDS,
    REKEYED_ACCOUNT,
    REKEYED_DEBTOR,
)
from sip2gw.backend.sql.queries import fill

FACTS_LOCK = 5120194301
"""The advisory lock that booking shares, and that everything holds alone which changes what a
payment is decided on: imports, staff, migrations."""

_PROBE_LOCK = FACTS_LOCK + 1
HOLD_PROBE = f"SELECT pg_advisory_lock({_PROBE_LOCK})"
TRY_PROBE = f"SELECT pg_try_advisory_lock({_PROBE_LOCK})"
LEAVE_PROBE = f"SELECT pg_advisory_unlock({_PROBE_LOCK})"
"""Show at each start that a lock held by one session keeps another out."""

LOCK_FACTS = f"SELECT pg_advisory_xact_lock({FACTS_LOCK})"
SHARE_FACTS = f"SELECT pg_advisory_xact_lock_shared({FACTS_LOCK})"

_LOCK_IMPORT = f"SELECT pg_advisory_xact_lock({FACTS_LOCK + 2})"
"""One import after the other: what it adds before `LOCK_FACTS` only another import could add."""

LOCK_REFUSALS = f"SELECT pg_advisory_xact_lock({FACTS_LOCK + 3})"
"""Refused payments of all gateways are written one after the other, so that they can be counted."""

_TEXT = re.compile(r"\bTEXT\b")


@cache
def numbered(statement: str) -> str:
    """`statement` with `$1`, `$2`, … in place of `?`."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)


ENTER_BRANCH = """
CREATE FUNCTION enter_branch(
    p_branch TEXT, p_passage TEXT, p_patron TEXT, p_now TEXT, p_ends TEXT, p_same_since TEXT,
    p_same_until TEXT, p_capacity BIGINT, p_refuse_inside BOOLEAN,
    OUT o_others BIGINT, OUT o_inside BIGINT, OUT o_again BIGINT)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sip2gw presence'), hashtext(p_branch));
    DELETE FROM presence WHERE branch = p_branch AND ends <= p_now;
    SELECT COUNT(*) FILTER (WHERE patron_id <> p_patron),
           COUNT(*) FILTER (WHERE patron_id = p_patron),
           COUNT(*) FILTER (WHERE patron_id = p_patron AND passage = p_passage
                            AND since > p_same_since AND since < p_same_until)
    INTO o_others, o_inside, o_again FROM presence WHERE branch = p_branch;
    IF o_again = 0 AND (p_capacity = 0 OR o_others < p_capacity)
       AND NOT (p_refuse_inside AND o_inside > o_again) THEN
        INSERT INTO presence (branch, patron_id, passage, since, ends)
        VALUES (p_branch, p_patron, p_passage, p_now, p_ends)
        ON CONFLICT (branch, patron_id) DO UPDATE
        SET passage = excluded.passage, since = excluded.since, ends = excluded.ends;
    END IF;
END $$"""
"""Looks who is inside and notes the patron in one round trip, one entry of a branch after the
other. The condition is `sip2gw.policy.access.has_room`; the contract suite holds both together.
A second reading changes nothing."""

_REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$"""

_ALLOW_STUBS = fill(
    """
CREATE FUNCTION refuse_other_debtor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ({same} AND NEW.account IS NOT DISTINCT FROM {account} AND {debtor}) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'ledger_entry is append-only';
END $$""",
    same=" AND ".join(f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in GUARDED_IN_ENTRIES),
    account=REKEYED_ACCOUNT,
    debtor=REKEYED_DEBTOR,
)
_GUARD_BUT_FOR_STUBS = (
    "DROP TRIGGER ledger_entry_append_only ON ledger_entry",
    "CREATE TRIGGER ledger_entry_append_only BEFORE DELETE OR TRUNCATE ON ledger_entry "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    _ALLOW_STUBS,
    "CREATE TRIGGER ledger_entry_debtors BEFORE UPDATE ON ledger_entry "
    "FOR EACH ROW EXECUTE FUNCTION refuse_other_debtor()",
)
_PRIVACY_COLUMNS = tuple(
    f'ALTER TABLE patron ALTER COLUMN {name} TYPE TEXT COLLATE "C"'
    for name in ("ended_on", "forgotten_on", "forgotten_as")
)

_NOT_OURS = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ?
      AND NOT pg_has_role(c.relowner, 'USAGE')"""

_UNGUARDED = """
    SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgenabled = 'D' AND c.relnamespace = current_schema()::regnamespace"""
_UNCHECKED = """
    SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE NOT k.convalidated AND c.relnamespace = current_schema()::regnamespace"""

_REFERENCES = """
    SELECT c.relname::text, k.conname::text, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace
    ORDER BY c.relname, k.conname"""


class PostgresDialect:
    """See `sip2gw.backend.database.Dialect`."""

    differs = "IS DISTINCT FROM"
    has_more_than_ascii = "octet_length({text}) <> length({text})"
    is_like = "lower({text}) LIKE ? ESCAPE '!'"
    for_update = " FOR UPDATE"
    hold_debtor = "SELECT pg_advisory_xact_lock(hashtext('sip2gw debtor'), hashtext(?))"
    begin_write: tuple[str, ...] = ("BEGIN", LOCK_FACTS)
    begin_beside: tuple[str, ...] = ("BEGIN", SHARE_FACTS)
    begin_import: tuple[str, ...] = ("BEGIN", _LOCK_IMPORT)
    lock_facts: tuple[str, ...] = (LOCK_FACTS,)
    begin_migration = begin_write
    end_migration: tuple[str, ...] = ()
    table_names = """
        SELECT table_name::text FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"""
    column_names = """
        SELECT column_name::text FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position"""
    beside: Mapping[int, tuple[str, ...]] = {
        1: (_REFUSE_CHANGE, BOOK_PAYMENT_1),
        2: (ENTER_BRANCH_2,),
        4: ("DROP FUNCTION enter_branch", ENTER_BRANCH_2),
        9: (
            "ALTER TABLE fee DROP CONSTRAINT IF EXISTS fee_amount_check",
            "ALTER TABLE ledger_transaction"
            " DROP CONSTRAINT IF EXISTS ledger_transaction_kind_check",
            f"ALTER TABLE ledger_transaction ADD {LEDGER_KINDS}",
        ),
        19: (*_PRIVACY_COLUMNS, *_GUARD_BUT_FOR_STUBS),
        21: tuple(
            f'ALTER TABLE {table} ALTER COLUMN {column} TYPE TEXT COLLATE "C"'
            for table, column in (
                ("badge", "valid_from"),
                ("badge", "valid_until"),
                ("patron", "merged_into"),
            )
        ),
    }
    derived: tuple[str, ...] = (
        "DROP FUNCTION IF EXISTS book_payment",
        "DROP FUNCTION IF EXISTS enter_branch",
        "DROP FUNCTION IF EXISTS circulation_facts",
        "DROP FUNCTION IF EXISTS circulate",
        "DROP FUNCTION IF EXISTS settle_payment",
        "DROP FUNCTION IF EXISTS settle_circulation",
        book_payment_function(FACTS_LOCK),
        ENTER_BRANCH,
        CIRCULATION_FACTS,
        circulate_function(FACTS_LOCK),
        SETTLE_PAYMENT,
        SETTLE_CIRCULATION,
    )

    def create_table(self, statement: str) -> str:
        """`CREATE TABLE` with texts that compare by their bytes, as everywhere else."""
        return _TEXT.sub('TEXT COLLATE "C"', statement)

    def append_only(self, table: str) -> tuple[str, ...]:
        """A trigger that refuses to change, delete or truncate rows of `table`."""
        return (
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        )

    def replace_check(self, table: str, column: str, before: str, after: str) -> tuple[str, ...]:
        """PostgreSQL has named the constraint after table and column."""
        name = f"{table}_{column}_check"
        return (
            f"ALTER TABLE {table} DROP CONSTRAINT {name}",
            f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({after}) NOT VALID",
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        )

    def free_references(self, connection: Connection) -> tuple[str, ...]:
        """Drop the foreign keys and put them back: each is then checked with one join."""
        found = connection.execute(_REFERENCES).fetchall()
        for table, name, _ in found:
            connection.execute(
                fill("ALTER TABLE {table} DROP CONSTRAINT {name}", table=table, name=name)
            )
        return tuple(
            fill(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {rule}",
                table=table,
                name=name,
                rule=rule,
            )
            for table, name, rule in found
        )

    def after_loading(self, table: str) -> tuple[str, ...]:
        """Update the planner's statistics after loading."""
        return (f"ANALYZE {table}",)

    def erase_traces(self, connection: Connection, tables: Iterable[str]) -> str:
        """VACUUM `tables`, if they are ours: others are passed over with a mere warning."""
        named = list(tables)
        others = [name for name in named if connection.execute(_NOT_OURS, (name,)).fetchone()]
        for name in named:
            if name not in others:
                connection.execute(fill("VACUUM {name}", name=name))
        if not others:
            return ""
        return (
            "the database still holds old data until its next VACUUM; let the owner of the tables"
            f" run VACUUM on {', '.join(others)}"
        )

    def physical_problems(self, connection: Connection) -> list[str]:
        """Guards that somebody has switched off."""
        return [
            f"{table}: {what} {name} is switched off"
            for what, statement in (("trigger", _UNGUARDED), ("constraint", _UNCHECKED))
            for table, name in connection.execute(statement)
        ]


POSTGRES = PostgresDialect()
