"""The fence: after it an attempt is done or never will be, whatever is still in a buffer (C98).

A statement may reach the database, or go on there, long after its gateway has given it up: its
backend was frozen, it waited for a lock, or it was in a socket's buffer. So each write carries the
id of its attempt, and a fence is a row with that id:

- A payment has the id of its attempt, and the fence is a payment that was refused. Both add a row
  under the same primary key, so the database lets one of them through.
- `circulate` looks for the fence, an entry for review, after it has taken the attempt's own lock,
  which the fence takes too. Both keep it until they commit, so the second of them sees what the
  first one did.

These are the last locks that a write takes and all that a fence takes, so no two wait for each
other, and a statement that still waits for an import or for another payment is fenced at once. One
that is just being committed makes the fence wait, `LOCK_TIMEOUT_S` at most: a backend that was
frozen there, or that waits for a standby, may still commit, and nobody can know.

The backend of a statement that was given up is not cancelled: while it waits for a standby that
would turn "not yet" into a commit, and the fence needs no help.

All of this holds in one database. A standby that takes over without the last commits has lost
fences like everything else that was committed there.
"""

from __future__ import annotations

from sip2gw.backend.sql import queries
from sip2gw.backend.sql.queries import fill

LOCK_TIMEOUT_S = 1.0
"""So long a fence waits for a statement that is just being committed."""

HOLD_ATTEMPT = "PERFORM pg_advisory_xact_lock(hashtext('sip2gw attempt'), hashtext(p_attempt))"
"""In a function: holds the attempt against its fence, or the fence against the attempt."""

IS_FENCED = "EXISTS (SELECT 1 FROM review f WHERE f.id = p_attempt)"


def _named(statement: str, *values: str) -> str:
    """`statement` with an expression in place of each `?`."""
    assert statement.count("?") == len(values), statement
    for value in values:
        statement = statement.replace("?", value, 1)
    return statement


_PAYMENT = ("p_attempt", "p_time", "p_terminal", "p_payer", "p_amount", "p_currency", "p_type")
_REST = ("p_bk", "p_status", "p_texts", "p_no_key", "p_content", "p_expires", "p_card", "p_date")

SETTLE_PAYMENT = fill(
    """
CREATE FUNCTION settle_payment(
    p_attempt TEXT, p_time TEXT, p_terminal TEXT, p_payer TEXT, p_amount BIGINT, p_currency TEXT,
    p_type TEXT, p_bk TEXT, p_status TEXT, p_texts TEXT, p_no_key TEXT, p_content TEXT,
    p_expires TEXT, p_card TEXT, p_date TEXT, p_key TEXT, p_owed BIGINT, p_now TEXT,
    p_noted BOOLEAN)
RETURNS BOOLEAN LANGUAGE plpgsql SET lock_timeout = '{lock_timeout_ms}ms' AS $$
DECLARE
    v_status TEXT;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM patron WHERE id = p_payer) THEN
        RETURN FALSE;
    END IF;
    {add_refused};
    {give_up};
    {status} INTO v_status;
    IF p_noted THEN
        {note};
    END IF;
    RETURN v_status IN ('booked', 'undone');
END $$""",
    lock_timeout_ms=f"{LOCK_TIMEOUT_S * 1000:.0f}",
    add_refused=_named(queries.ADD_GIVEN_UP, *_PAYMENT, *_REST),
    give_up=_named(queries.GIVE_UP, "p_attempt"),
    status=_named(queries.PAYMENT_STATUS, "p_attempt"),
    note=_named(queries.ADD_ATTEMPT, "p_attempt", "p_key", "p_owed", "p_now", "''"),
)
"""Whether the attempt was booked; from now on it is not, if it was not. A payer who is no longer
known cannot pay either: what the attempt was decided on went with them."""

_CIRCULATION = ("p_attempt", "p_time", "p_terminal", "p_code", "p_item", "p_patron", "p_key")

SETTLE_CIRCULATION = fill(
    """
CREATE FUNCTION settle_circulation(
    p_attempt TEXT, p_time TEXT, p_terminal TEXT, p_code TEXT, p_item TEXT, p_patron TEXT,
    p_key TEXT, p_now TEXT, p_noted BOOLEAN)
RETURNS BOOLEAN LANGUAGE plpgsql SET lock_timeout = '{lock_timeout_ms}ms' AS $$
DECLARE
    v_outcome TEXT := 'refused';
BEGIN
    {hold};
    IF EXISTS ({done}) THEN
        v_outcome := 'done';
    END IF;
    IF p_noted OR v_outcome = 'refused' THEN
        {settle};
        {outcome} INTO v_outcome;
    END IF;
    UPDATE review SET state = 'closed', closed = p_now, closed_by = '{ourselves}'
    WHERE id = p_attempt AND state = 'open' AND NOT p_noted;
    UPDATE review SET state = 'open', closed = NULL, closed_by = NULL
    WHERE id = p_attempt AND closed_by = '{ourselves}' AND p_noted;
    RETURN v_outcome = 'done';
END $$""",
    lock_timeout_ms=f"{LOCK_TIMEOUT_S * 1000:.0f}",
    ourselves="sip2gw",
    hold=HOLD_ATTEMPT,
    done=_named(queries.DONE_BY_ATTEMPT, "p_item", "p_attempt"),
    settle=_named(queries.SETTLE_CIRCULATION, *_CIRCULATION, "v_outcome"),
    outcome=_named(queries.CIRCULATION_OUTCOME, "p_attempt"),
)
"""Whether the attempt was done; from now on it is not, if it was not. What was answered with a
plain no is nothing for staff to look at: its entry is closed from the start."""
