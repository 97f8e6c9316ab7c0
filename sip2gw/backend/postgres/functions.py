"""The database's functions for circulation, made of the statements that SQLite runs one by one.

`circulation_facts` reads everything that is decided on, as one JSON text; `circulate` writes the
decision's rows if that text is still the same under the locks. Whatever was read therefore still
holds when something is written, and nobody has to list what matters.
"""

from __future__ import annotations

from itertools import count

from sip2gw.backend.store import queries
from sip2gw.backend.store.queries import fill
from sip2gw.backend.store.records import LISTS
from sip2gw.backend.store.writes import NUMBERS, WRITES, Write


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


def circulate_function(facts_lock: int) -> str:
    """`circulate`, sharing the advisory lock `facts_lock` with bookings."""
    return fill(
        """
CREATE FUNCTION circulate(
    p_item TEXT, p_key TEXT, p_patron TEXT, p_borrower BOOLEAN, p_now TEXT, p_since TEXT,
    p_parties TEXT[], p_facts TEXT, p_rows JSONB)
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
    END IF;{loops}
    RETURN TRUE;
END $$""",
        lock=str(facts_lock),
        loops="".join(map(_loop, WRITES)),
    )
