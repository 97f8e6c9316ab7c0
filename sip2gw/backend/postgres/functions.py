"""The database's functions that write a whole attempt if it still may be written.

`book_payment` and `circulate` write what was decided if what it was decided on still holds under
their locks, and if the attempt was not fenced (`fence`). `circulation_facts` reads what circulation
is decided on as one JSON text, so that nobody has to list what matters; its statements, and those
of `circulate`, are the ones that SQLite runs one by one.
"""

from __future__ import annotations

from itertools import count

from sip2gw.backend.postgres.fence import HOLD_ATTEMPT, IS_FENCED
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.records import LISTS
from sip2gw.backend.sql.writes import NUMBERS, WRITES, Write


def _rows(statement: str, *values: str) -> str:
    """The rows of `statement`, with an expression for each `?`, as a JSON array of objects.

    The names in the objects mean nothing; the order is that of the columns.
    """
    for value in values:
        statement = statement.replace("?", value, 1)
    return fill("(SELECT COALESCE(json_agg(ROW(x.*)), '[]') FROM ({rows}) x)", rows=statement)


def _lists(patron_id: str) -> str:
    marks = ((statement, statement.count("?")) for statement in LISTS)
    return ", ".join(_rows(statement, *[patron_id] * number) for statement, number in marks)


_PATRON = queries.record_by_id(_lists("p.id"))
_TITLE = "(SELECT i.title_id FROM item i WHERE i.id = p_item)"
_BORROWER = "(SELECT l.patron_id FROM loan l WHERE l.item_id = p_item AND p_borrower)"

CIRCULATION_FACTS = fill(
    """
CREATE FUNCTION circulation_facts(
    p_item TEXT, p_key TEXT, p_patron TEXT, p_borrower BOOLEAN, p_now TEXT, p_since TEXT)
RETURNS TEXT LANGUAGE sql STABLE AS $$
    SELECT json_build_array({item}, {item_holds}, {title_holds}, {events},
                            {patron}, {borrower}, {borrowed})::text
$$""",
    item=_rows(queries.ITEM, "p_item"),
    item_holds=_rows(queries.NEXT_HOLD_OF_ITEM, "p_item", "p_now"),
    title_holds=_rows(queries.NEXT_HOLD_OF_TITLE, _TITLE, "p_now"),
    events=_rows(queries.EVENTS, "p_item", "p_key", "p_item AND p_key IS NOT NULL"),
    patron=_rows(_PATRON, "p_patron"),
    borrower=_rows(_PATRON, _BORROWER),
    borrowed=_rows(
        queries.BORROWED_BEFORE, "p_patron", "p_item", "p_since AND p_since IS NOT NULL"
    ),
)
"""Item, holds, events, patron, borrower, earlier loans: lists of rows, empty without any."""


def _loop(write: Write) -> str:
    """Runs `write` for each of its rows."""
    columns = ", ".join(
        f"{name} {'BIGINT' if name in NUMBERS else 'TEXT'}" for name in write.columns
    )
    places = count()
    statement = "".join(
        part if number == 0 else f"r.{write.columns[next(places)]}{part}"
        for number, part in enumerate(write.statement.split("?"))
    )
    return fill(
        """
    FOR r IN SELECT * FROM jsonb_to_recordset(p_rows->'{name}') AS x ({columns}) LOOP
        {statement};
    END LOOP;""",
        name=write.name,
        columns=columns,
        statement=statement,
    )


def book_payment_function(facts_lock: int) -> str:
    """`book_payment`, sharing the advisory lock `facts_lock`.

    It writes a payment if its key is free, or still that of `p_holder`, which then loses it (C105),
    and if what it was decided on still holds: nobody but
    payments has changed anything since (`store_version`), and the parties owe what they owed. The
    parties' rows are locked, in the order of their ids, so that payments for the same fee come one
    by one; each statement of the function sees what was committed before it. The payment has the
    id of its attempt, so an attempt that was fenced (`fence`) or made already cannot be written.
    """
    return fill(
        """
CREATE FUNCTION book_payment(
    p_version BIGINT, p_parties TEXT[], p_owed TEXT, p_holder TEXT,
    p_terminal TEXT, p_key TEXT, p_content TEXT, p_expires TEXT,
    p_attempt TEXT, p_time TEXT, p_payer TEXT, p_amount BIGINT, p_currency TEXT, p_type TEXT,
    p_bk TEXT, p_status TEXT, p_texts TEXT, p_card TEXT, p_transacted TEXT,
    p_accounts TEXT[], p_amounts BIGINT[], p_fees TEXT[], p_debtors TEXT[], p_relations TEXT[])
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({lock});
    PERFORM 1 FROM patron WHERE id = ANY (p_parties) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM payment k
               WHERE k.terminal = p_terminal AND k.key = p_key AND k.key_expires > p_time
               AND k.id IS DISTINCT FROM p_holder)
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
    WHERE terminal = p_terminal AND key = p_key
      AND (key_expires <= p_time OR id = p_holder);
    INSERT INTO payment (id, time, terminal, payer_id, amount, currency, payment_type, bk, status,
                         texts, key, content, key_expires, card, transacted)
    VALUES (p_attempt, p_time, p_terminal, p_payer, p_amount, p_currency, p_type, p_bk, p_status,
            p_texts, p_key, p_content, p_expires, p_card, p_transacted)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        IF EXISTS (SELECT 1 FROM payment WHERE id = p_attempt AND status = 'refused') THEN
            RAISE EXCEPTION 'the attempt was given up';
        END IF;
        RAISE EXCEPTION 'others took the key' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger_transaction (id, time, kind, payment_id)
    VALUES (p_attempt, p_time, 'payment', p_attempt);
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id,
                              relation)
    SELECT p_attempt, n.place - 1, n.account, n.amount, n.fee, n.debtor, n.relation
    FROM unnest(p_accounts, p_amounts, p_fees, p_debtors, p_relations) WITH ORDINALITY
        AS n (account, amount, fee, debtor, relation, place);
    RETURN TRUE;
END $$""",
        lock=str(facts_lock),
    )


def circulate_function(facts_lock: int) -> str:
    """`circulate`, sharing the advisory lock `facts_lock` with bookings."""
    return fill(
        """
CREATE FUNCTION circulate(
    p_attempt TEXT, p_item TEXT, p_key TEXT, p_patron TEXT, p_borrower BOOLEAN, p_now TEXT,
    p_since TEXT, p_parties TEXT[], p_facts TEXT, p_rows JSONB)
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    r RECORD;
BEGIN
    PERFORM pg_advisory_xact_lock_shared({lock});
    PERFORM 1 FROM patron WHERE id = ANY (p_parties) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM item WHERE id = p_item FOR NO KEY UPDATE;
    IF p_facts <> circulation_facts(p_item, p_key, p_patron, p_borrower, p_now, p_since)
    THEN
        RETURN FALSE;
    END IF;
    {hold};
    IF {is_fenced} THEN
        RAISE EXCEPTION 'the attempt was given up';
    END IF;{loops}
    RETURN TRUE;
END $$""",
        lock=str(facts_lock),
        hold=HOLD_ATTEMPT,
        is_fenced=IS_FENCED,
        loops="".join(map(_loop, WRITES)),
    )
