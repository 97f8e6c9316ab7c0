"""What only PostgreSQL says: placeholders, collation, locks, triggers, the booking function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import count

from sip2gw.backend.library import Connection
from sip2gw.backend.postgres.functions import CIRCULATION_FACTS, circulate_function

FACTS_LOCK = 5120194301
"""The advisory lock that booking shares, and that everything holds alone which changes what a
payment is decided on: imports, staff, migrations."""

_PROBE_LOCK = FACTS_LOCK + 1
HOLD_PROBE = f"SELECT pg_advisory_lock({_PROBE_LOCK})"
TRY_PROBE = f"SELECT pg_try_advisory_lock({_PROBE_LOCK})"
LEAVE_PROBE = f"SELECT pg_advisory_unlock({_PROBE_LOCK})"
"""Show at each start that a lock held by one session keeps another out."""

LOCK_FACTS = f"SELECT pg_advisory_xact_lock({FACTS_LOCK})"

_LOCK_IMPORT = f"SELECT pg_advisory_xact_lock({FACTS_LOCK + 2})"
"""One import after the other: what it adds before `LOCK_FACTS` only another import could add."""

_TEXT = re.compile(r"\bTEXT\b")


@cache
def numbered(statement: str) -> str:
    """`statement` with `$1`, `$2`, … in place of `?`."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)


BOOK_PAYMENT = """
CREATE FUNCTION book_payment(
    p_version BIGINT, p_parties TEXT[], p_owed TEXT,
    p_terminal TEXT, p_key TEXT, p_content TEXT, p_expires TEXT,
    p_id TEXT, p_time TEXT, p_payer TEXT, p_amount BIGINT, p_currency TEXT, p_type TEXT,
    p_bk TEXT, p_status TEXT, p_texts TEXT, p_card TEXT,
    p_accounts TEXT[], p_amounts BIGINT[], p_fees TEXT[], p_debtors TEXT[], p_relations TEXT[])
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(<FACTS_LOCK>);
    PERFORM 1 FROM patron WHERE id = ANY (p_parties) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM payment k
               WHERE k.terminal = p_terminal AND k.key = p_key AND k.key_expires > p_time)
       OR p_version <> (SELECT version FROM store_version WHERE id = 1)
       OR p_owed <> (
            SELECT COALESCE(string_agg(o.id || ' ' || o.owed, E'\\n' ORDER BY o.id), '')
            FROM (SELECT f.id, (SELECT SUM(e.amount) FROM ledger_entry e
                                WHERE e.fee_id = f.id) AS owed
                  FROM fee f WHERE f.patron_id = ANY (p_parties)) o
            WHERE o.owed <> 0)
    THEN
        RETURN FALSE;
    END IF;
    UPDATE payment SET key = NULL
    WHERE terminal = p_terminal AND key = p_key AND key_expires <= p_time;
    INSERT INTO payment (id, time, terminal, payer_id, amount, currency, payment_type, bk, status,
                         texts, key, content, key_expires, card)
    VALUES (p_id, p_time, p_terminal, p_payer, p_amount, p_currency, p_type, p_bk, p_status,
            p_texts, p_key, p_content, p_expires, p_card)
    ON CONFLICT (terminal, key) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key was taken meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger_transaction (id, time, kind, payment_id)
    VALUES (p_id, p_time, 'payment', p_id);
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id,
                              relation)
    SELECT p_id, n.place - 1, n.account, n.amount, n.fee, n.debtor, n.relation
    FROM unnest(p_accounts, p_amounts, p_fees, p_debtors, p_relations) WITH ORDINALITY
        AS n (account, amount, fee, debtor, relation, place);
    RETURN TRUE;
END $$""".replace("<FACTS_LOCK>", str(FACTS_LOCK))
"""Writes a payment if its key is free and what it was decided on still holds: nobody but payments
has changed anything since (`store_version`), and the parties owe what they owed. The parties'
rows are locked, in the order of their ids, so that payments for the same fee come one by one;
each statement of the function sees what was committed before it."""

ENTER_BRANCH = """
CREATE FUNCTION enter_branch(
    p_branch TEXT, p_passage TEXT, p_patron TEXT, p_now TEXT, p_ends TEXT, p_same_since TEXT,
    p_capacity BIGINT, p_refuse_inside BOOLEAN, OUT o_others BIGINT, OUT o_inside BIGINT)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sip2gw presence'), hashtext(p_branch));
    DELETE FROM presence WHERE branch = p_branch AND ends <= p_now;
    SELECT COUNT(*) FILTER (WHERE patron_id <> p_patron),
           COUNT(*) FILTER (WHERE patron_id = p_patron
                            AND NOT (passage = p_passage AND since > p_same_since))
    INTO o_others, o_inside FROM presence WHERE branch = p_branch;
    IF (p_capacity = 0 OR o_others < p_capacity) AND NOT (p_refuse_inside AND o_inside > 0) THEN
        INSERT INTO presence (branch, patron_id, passage, since, ends)
        VALUES (p_branch, p_patron, p_passage, p_now, p_ends)
        ON CONFLICT (branch, patron_id) DO UPDATE
        SET passage = excluded.passage, since = excluded.since, ends = excluded.ends;
    END IF;
END $$"""
"""Looks who is inside and notes the patron in one round trip, one entry of a branch after the
other. The condition is `sip2gw.policy.access.has_room`; the contract suite holds both together.
Migration 4 makes it anew: `passage` was `terminal` before."""

_REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$"""

_UNGUARDED = """
    SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgenabled = 'D' AND c.relnamespace = current_schema()::regnamespace"""
_UNCHECKED = """
    SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE NOT k.convalidated AND c.relnamespace = current_schema()::regnamespace"""


class PostgresDialect:
    """See `sip2gw.backend.library.Dialect`."""

    differs = "IS DISTINCT FROM"
    begin_write: tuple[str, ...] = ("BEGIN", LOCK_FACTS)
    begin_import: tuple[str, ...] = ("BEGIN", _LOCK_IMPORT)
    lock_facts: tuple[str, ...] = (LOCK_FACTS,)
    table_names = """
        SELECT table_name::text FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"""
    beside: Mapping[int, tuple[str, ...]] = {
        1: (_REFUSE_CHANGE, BOOK_PAYMENT),
        2: (ENTER_BRANCH,),
        4: ("DROP FUNCTION enter_branch", ENTER_BRANCH),
        # Those made of the tables as they are now come with the last migration that changes them.
        7: (
            "DROP FUNCTION IF EXISTS circulation_facts",
            "DROP FUNCTION IF EXISTS circulate",
            CIRCULATION_FACTS,
            circulate_function(FACTS_LOCK),
        ),
    }

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

    def after_loading(self, table: str) -> tuple[str, ...]:
        """Let the planner know what was loaded."""
        return (f"ANALYZE {table}",)

    def physical_problems(self, connection: Connection) -> list[str]:
        """Guards that somebody has switched off."""
        return [
            f"{table}: {what} {name} is switched off"
            for what, statement in (("trigger", _UNGUARDED), ("constraint", _UNCHECKED))
            for table, name in connection.execute(statement)
        ]


POSTGRES = PostgresDialect()
