"""Every statement that runs while the gateway serves, once and by name.

Import and export have their own in `staging` and `exporting`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain

from sip2gw.backend.sql.stubs import ALL_IDS, LIVING, OURS, SAME_PERSON
from sip2gw.model import OBSERVED


def fill(template: str, **names: str) -> str:
    """`template` with names of our own (columns, tables) filled in; values go through `?`."""
    return template.format(**names)


@cache
def for_rows(statement: str, count: int) -> str:
    """`statement`, an INSERT that ends with the marks of one row, for `count` rows."""
    marks = statement[statement.rindex("(") :]
    return ", ".join((statement, *[marks] * (count - 1)))


MEMBERSHIP_COLUMNS = """m.code, m.description, m.type, m.minimum_age, m.maximum_age, m.max_items,
           m.max_fees_self_service, m.alert_amount"""

_RECORD = """
    SELECT p.id, p.name, p.pin_hash, p.birth_date, p.membership_from, p.membership_until,
           p.status, p.home_branch, p.language, p.email, p.phone, p.address, p.notices,
           p.house_rules_accepted, p.fee_limit, p.status_fee, p.answers,
           {membership}, m.max_holds, m.holds_permitted, m.hold_limit, m.materials, {lists}
    FROM {source} LEFT JOIN membership m ON m.code = p.membership_code
    WHERE {key} = ?"""


def record_by_id(lists: str) -> str:
    """A patron with the membership and `lists` (expressions over `p`), by patron id."""
    key = f"{LIVING} AND p.id"
    return fill(_RECORD, membership=MEMBERSHIP_COLUMNS, lists=lists, source="patron p", key=key)


def record_by_card(lists: str) -> str:
    """The same by card number."""
    source = "card c JOIN patron p ON p.id = c.patron_id"
    return fill(_RECORD, membership=MEMBERSHIP_COLUMNS, lists=lists, source=source, key="c.number")


_PRESENT = """EXISTS (SELECT 1 FROM badge_assignment a WHERE a.patron_id = p.id),
           EXISTS (SELECT 1 FROM block b WHERE b.patron_id = p.id),
           EXISTS (SELECT 1 FROM fee f WHERE f.patron_id = p.id),
           EXISTS (SELECT 1 FROM loan l WHERE l.patron_id = p.id),
           EXISTS (SELECT 1 FROM hold h WHERE h.patron_id = p.id),
           EXISTS (SELECT 1 FROM card k JOIN door_entry d ON d.card = k.number
                   WHERE k.patron_id = p.id)"""

PATRON_BY_ID = record_by_id(_PRESENT)
PATRON_BY_CARD = record_by_card(_PRESENT)

CARDS = """
    SELECT c.number, c.state, a.failures, a.locked_until
    FROM card c LEFT JOIN pin_failure a ON a.patron_id = c.patron_id
    WHERE c.patron_id = ? ORDER BY c.number"""

BADGES = """
    SELECT b.code, b.active, a.valid_from, a.valid_until, b.branches, a.branches,
           b.valid_from, b.valid_until
    FROM badge_assignment a JOIN badge b ON b.code = a.badge_code
    WHERE a.patron_id = ? ORDER BY b.code"""

BLOCKS = """
    SELECT type, note, valid_until, source FROM block
    WHERE patron_id = ? ORDER BY type, source, position"""

FEES = """
    SELECT f.id, f.patron_id, f.amount, CAST(SUM(e.amount) AS BIGINT), f.created, f.type,
           f.description, f.item_id, MAX(i.title), f.status, f.arrangement_date
    FROM fee f JOIN ledger_entry e ON e.fee_id = f.id LEFT JOIN item i ON i.id = f.item_id
    WHERE f.patron_id = ? GROUP BY f.id HAVING SUM(e.amount) <> 0
    ORDER BY f.created, f.id"""

ACCOUNT = """
    SELECT p.name, p.membership_from, p.membership_until,
           EXISTS (SELECT 1 FROM relationship r
                   WHERE r.type = 'head_of_family' AND r.from_id = p.id)
           OR EXISTS (SELECT 1 FROM relationship r
                      WHERE r.to_id = p.id AND r.type = 'authorisation'),
           m.code, m.description, m.type, m.minimum_age, m.maximum_age, m.max_items,
           m.max_fees_self_service, m.alert_amount,
           f.id, f.patron_id, f.amount,
           (SELECT CAST(SUM(e.amount) AS BIGINT) FROM ledger_entry e WHERE e.fee_id = f.id),
           f.created, f.type, f.description, f.item_id,
           (SELECT i.title FROM item i WHERE i.id = f.item_id), f.status, f.arrangement_date
    FROM patron p LEFT JOIN membership m ON m.code = p.membership_code
    LEFT JOIN fee f ON f.patron_id = p.id
    WHERE p.id = ? ORDER BY f.created, f.id"""
"""What a payment is decided on, a row per fee; one row without fee for who owes nothing."""

_PAYS = """(t.kind IN ('payment', 'undo', 'refund')
           OR t.kind = 'opening' AND e.position % 4 = 2)"""
"""Whether an entry on a fee is about what was paid of it; the third of the four that an import
opens a fee with is what was paid before."""

_PAID = """
    SELECT f.id, f.patron_id, f.amount, {owed}, f.created, f.type, f.description, f.item_id,
           (SELECT i.title FROM item i WHERE i.id = f.item_id), f.status, f.arrangement_date,
           {paid}
    FROM fee f JOIN ledger_entry e ON e.fee_id = f.id
    JOIN ledger_transaction t ON t.id = e.transaction_id
    WHERE {what}"""
_PAID_FEES = fill(
    _PAID,
    owed="(SELECT CAST(SUM(x.amount) AS BIGINT) FROM ledger_entry x WHERE x.fee_id = f.id)",
    paid="CAST(-SUM(e.amount) AS BIGINT)",
    what="""f.patron_id = ? AND {by}
    GROUP BY f.id HAVING SUM(e.amount) < 0 AND MAX(t.time) >= ?
    ORDER BY f.created, f.id""",
)
PAID_FEES = fill(_PAID_FEES, by=_PAYS)
PAID_FEES_BY = fill(
    _PAID_FEES, by="t.payment_id IN (SELECT p.id FROM payment p WHERE p.payer_id = ?)"
)
FEES_SETTLED_BY = fill(
    _PAID,
    owed="""(SELECT CAST(SUM(x.amount) AS BIGINT) FROM ledger_entry x
            JOIN ledger_transaction u ON u.id = x.transaction_id
            WHERE x.fee_id = f.id AND NOT (u.kind IN ('payment', 'undo')
                AND (u.time > t.time OR u.time = t.time AND u.id > t.id)))""",
    paid="-e.amount",
    what="t.id = ? ORDER BY e.position",
)
"""What is owed there is without what was paid or taken back after the payment."""

LOANS = """
    SELECT l.item_id, i.title, l.due, l.checked_out, l.renewals, i.max_renewals,
           CASE WHEN i.status = 'lost' THEN 1 ELSE 0 END, i.material
    FROM loan l JOIN item i ON i.id = l.item_id
    WHERE l.patron_id = ? ORDER BY l.due, l.item_id"""

HOLDS = """
    SELECT h.id, h.item_id, h.title_id,
           COALESCE((SELECT i.title FROM item i WHERE i.id = h.item_id),
                    (SELECT MIN(i.title) FROM item i WHERE i.title_id = h.title_id), ''),
           h.placed, h.ready, h.pickup_branch, h.expires
    FROM hold h WHERE h.patron_id = ? ORDER BY h.placed, h.id"""

RELATIONSHIP_COLUMNS = "type, from_id, to_id, may_renew, may_pay, confirmed, proposed_by"
_PAYER_FOR = """
    SELECT {columns} FROM relationship WHERE type = 'head_of_family' AND from_id = ?
    UNION ALL
    SELECT {columns} FROM relationship WHERE type = 'authorisation' AND to_id = ?
    ORDER BY 1 DESC, 2, 3"""
PAYER_FOR = fill(_PAYER_FOR, columns=RELATIONSHIP_COLUMNS)

DOOR_ENTRIES_OF = """
    SELECT d.kind, d.branch, d.card, d.valid_until, d.weekdays, d.start_minute, d.end_minute
    FROM card k JOIN door_entry d ON d.card = k.number
    WHERE k.patron_id = ? ORDER BY d.card, d.kind, d.branch"""

DOOR_ENTRIES_OF_CARD = """
    SELECT d.kind, d.branch, d.card, d.valid_until, d.weekdays, d.start_minute, d.end_minute
    FROM door_entry d WHERE d.card = ? ORDER BY d.kind, d.branch"""
"""The same for a number, whoever has it."""


def paid_fees(
    patron_id: str, since: str, payer_id: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The statement for what was paid of a patron's fees, by anybody or by one payer; values."""
    if payer_id is None:
        return PAID_FEES, (patron_id, since)
    return PAID_FEES_BY, (patron_id, payer_id, since)


# Items

ITEM = """
    SELECT i.id, i.title, i.title_id, i.author, i.media_type, i.material, i.owner_branch, i.shelf,
           i.call_number, i.for_loan, i.loan_days, i.max_renewals, i.checkout_fee,
           i.overdue_fee_per_day, i.magnetic, i.security_marker, i.note, i.attachment,
           i.overdue_fee_max, i.minimum_age, i.status, i.current_branch, i.properties,
           l.patron_id, l.checked_out, l.due, l.renewals, m.grace_days, m.overdue_fee_max,
           EXISTS (SELECT 1 FROM hold h WHERE h.item_id = i.id),
           EXISTS (SELECT 1 FROM hold h WHERE h.title_id = i.title_id AND h.item_id IS NULL),
           EXISTS (SELECT 1 FROM circulation c WHERE c.item_id = i.id)
    FROM item i LEFT JOIN loan l ON l.item_id = i.id
    LEFT JOIN patron b ON b.id = l.patron_id
    LEFT JOIN membership m ON m.code = b.membership_code
    WHERE i.id = ?"""

_NEXT_HOLD = """
    SELECT h.id, h.patron_id, p.name, h.item_id, h.title_id, h.placed, h.ready, h.pickup_branch,
           h.expires
    FROM hold h JOIN patron p ON p.id = h.patron_id
    WHERE {queue} AND (h.expires IS NULL OR h.expires > ?)
    ORDER BY {order} LIMIT 1"""
_IN_QUEUE = """h.ready DESC, CASE WHEN h.item_id IS NULL OR h.title_id IS NULL THEN 1 ELSE 0 END,
             h.placed, h.id"""
"""Who has the copy on the shelf; whom any copy would have served, and this one is on its way to;
the oldest."""
NEXT_HOLD_OF_ITEM = fill(_NEXT_HOLD, queue="h.item_id = ?", order=_IN_QUEUE)
NEXT_HOLD_OF_TITLE = fill(
    _NEXT_HOLD,
    queue="h.title_id = ? AND h.item_id IS NULL",
    order="h.ready DESC, h.placed, h.id",  # as in the index: a bestseller's queue is long
)

HOLD_QUEUE = fill(
    """
    SELECT h.id FROM hold h
    WHERE (h.item_id = ? OR (h.title_id = ? AND h.item_id IS NULL))
      AND (h.expires IS NULL OR h.expires > ?)
    ORDER BY {order}""",
    order=_IN_QUEUE,
)
COPY_OF_TITLE = "SELECT id FROM item WHERE title_id = ? ORDER BY for_loan DESC, id LIMIT 1"

_EVENT = """
    SELECT c.terminal, c.code, c.key, c.patron_id, c.position, c.expires, c.outcome, c.before,
           EXISTS (SELECT 1 FROM circulation n
                   WHERE n.item_id = c.item_id AND n.position > c.position AND n.position > 0
                     AND n.patron_id <> ''),
           c.attempt
    FROM circulation c WHERE c.item_id = ?"""
EVENTS = fill(
    """{event} AND c.key = ? UNION ALL
    SELECT * FROM ({event} AND c.position > 0 ORDER BY c.position DESC LIMIT 1) last""",
    event=_EVENT,
)
"""The transaction under a key, if there is one, and the last one behind it; of each, whether
somebody has had the copy since: every transaction but the return of what nobody had names them."""
_WORK = "COALESCE('title ' || i.title_id, 'item ' || i.id)"
"""What counts as the same thing borrowed again: any copy of the title."""

BORROWED_BEFORE = fill(
    """
    SELECT b.until FROM item i JOIN borrowed b ON b.patron_id = ? AND b.work = {work}
    WHERE i.id = ? AND b.until > ?""",
    work=_WORK,
)
REMEMBER_LOAN = fill(
    """INSERT INTO borrowed (patron_id, work, until)
    SELECT ?, {work}, ? FROM item i WHERE i.id = ?
    ON CONFLICT (patron_id, work) DO UPDATE SET until = excluded.until""",
    work=_WORK,
)
FORGET_LOANS = "DELETE FROM borrowed WHERE until <= ?"
FORGET_EVENTS = "DELETE FROM circulation WHERE expires <= ?"
COUNT_FORGOTTEN_LOANS = "SELECT COUNT(*) FROM borrowed WHERE until <= ?"
COUNT_FORGOTTEN_EVENTS = "SELECT COUNT(*) FROM circulation WHERE expires <= ?"

MEMBERSHIP = fill(
    """
    SELECT {membership}, m.max_holds, m.holds_permitted, m.hold_limit, m.materials
    FROM membership m WHERE m.code = ?""",
    membership=MEMBERSHIP_COLUMNS,
)

# PIN lock-out

CARD_HOLDER = "SELECT patron_id FROM card WHERE number = ?"
RECORD_PIN_FAILURE = """
    INSERT INTO pin_failure (patron_id, failures, locked_until)
    SELECT id, 1, CASE WHEN ? <= 1 THEN ? END FROM patron WHERE id = ?
    ON CONFLICT (patron_id) DO UPDATE
    SET failures = CASE WHEN pin_failure.locked_until IS NULL
                        THEN pin_failure.failures + 1 ELSE 1 END,
        locked_until = CASE WHEN ? <= CASE WHEN pin_failure.locked_until IS NULL
                                           THEN pin_failure.failures + 1 ELSE 1 END THEN ? END
    WHERE pin_failure.locked_until IS NULL OR pin_failure.locked_until <= ?
    RETURNING failures"""
"""One statement, so that guesses at several doors cannot outrun the lock; no row while it lasts."""
CLEAR_PIN_FAILURES = "DELETE FROM pin_failure WHERE patron_id = ?"

# Payments and ledger

KEY_COLUMNS = "k.content, k.id, k.key_expires, k.transacted, k.time"
PAYMENT_KEY = fill(
    "SELECT {columns} FROM payment k WHERE k.terminal = ? AND k.key = ?", columns=KEY_COLUMNS
)
LOST_KEY = """k.key IS NULL AND k.status <> 'refused' AND NOT EXISTS
        (SELECT 1 FROM payment_share s WHERE s.payment_id = k.id AND s.state = 'refused')"""
"""Whether another payment took over the receipt number of payment `k`: one that was not booked, or
only in part, has left it free instead (C4)."""
TAKEN_OVER = fill(
    "SELECT {columns} FROM payment k WHERE k.terminal = ? AND k.bk = ? AND {lost}",
    columns=KEY_COLUMNS,
    lost=LOST_KEY,
)
PAYMENT_PLACES = """
    SELECT (SELECT 1 FROM payment WHERE id = ?), (SELECT 1 FROM ledger_transaction WHERE id = ?),
           (SELECT 1 FROM ledger_entry WHERE transaction_id = ? LIMIT 1)"""
"""Goes where the rows of a payment will be."""
FREE_KEY = "UPDATE payment SET key = NULL WHERE terminal = ? AND key = ?"
"""A payment whose key has expired, or belongs to another now, stays for ever, without it (C5)."""
ADD_PAYMENT = """
    INSERT INTO payment (id, time, terminal, payer_id, amount, currency, payment_type, bk, status,
                         texts, key, content, key_expires, card, transacted)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""
"""Writes nothing when its key is taken, or when the attempt with its id was given up."""
ADD_TRANSACTION = """
    INSERT INTO ledger_transaction (id, time, kind, payment_id) VALUES (?, ?, ?, ?)"""
ADD_ENTRY = """
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id,
                              relation)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""


PAYMENT_COLUMNS = (
    "id", "time", "terminal", "payer_id", "amount", "currency", "payment_type", "bk", "status",
    "texts", "card",
)  # fmt: skip
"""What a payment is but for its lines."""
_LINES = fill(
    """
    SELECT {columns}, COALESCE(e.fee_id, s.fee_id), COALESCE(e.debtor_id, s.debtor_id),
           COALESCE(e.relation, s.relation), COALESCE(-e.amount, s.amount)
    FROM {{source}} p
    LEFT JOIN ledger_entry e ON e.transaction_id = p.id AND e.fee_id IS NOT NULL
    LEFT JOIN payment_share s ON s.payment_id = p.id AND s.state = 'booked'
    {{where}} ORDER BY p.time, p.id, e.position, s.position""",
    columns=", ".join(f"p.{column}" for column in PAYMENT_COLUMNS),
)
PAYMENTS = fill(_LINES, source="payment", where="{where}")
"""A row per line. A payment's lines are its ledger entries on fees, and its first transaction has
its own id; or they are the shares that a library system has booked."""
FIRST_PAYMENTS = fill(
    _LINES,
    source="(SELECT * FROM payment p{where} ORDER BY p.time, p.id LIMIT ?)",
    where="",
)
"""The same for so many payments."""
IN_THEIR_BOOKS = """
    SELECT 1 FROM payment_share
    WHERE payment_id = ? AND (kept IS NULL OR exported IS NOT NULL) LIMIT 1"""
"""Whether a library system has booked any of the payment, or was told of it (C124)."""
PAYMENT_FILTERS = {
    "payment_id": "p.id = ?",
    "since": "p.time >= ?",
    "until": "p.time < ?",
    "after": "(p.time, p.id) > (?, ?)",
    "terminal": "p.terminal = ?",
    "status": "p.status = ?",
    "patron": fill(
        """(p.payer_id {same}
        OR EXISTS (SELECT 1 FROM ledger_entry e
                   WHERE e.transaction_id = p.id AND e.debtor_id {same})
        OR EXISTS (SELECT 1 FROM payment_share s WHERE s.payment_id = p.id
                   AND s.state = 'booked' AND s.debtor_id {same}))""",
        same=SAME_PERSON,
    ),
}
"""`patron`: who paid, or whom a line of `PAYMENTS` is about; their till's entry names them, too."""
SET_PAYMENT_STATUS = "UPDATE payment SET status = ? WHERE id = ?"
FEE_HOLDERS = """
    SELECT DISTINCT f.patron_id FROM fee f JOIN ledger_entry e ON e.fee_id = f.id
    WHERE e.transaction_id = ?"""
"""Whose fees a transaction is about now; an import may have moved them since."""
PAYMENT_ENTRIES = """
    SELECT account, amount, fee_id, debtor_id, relation FROM ledger_entry
    WHERE transaction_id = ?
       OR transaction_id IN (SELECT s.payment_id || '-' || s.position FROM payment_share s
                             WHERE s.payment_id = ?)
    ORDER BY transaction_id, position"""
"""What a payment has booked, in one transaction or in one for each of its shares."""

UNBALANCED = """
    SELECT t.id FROM ledger_transaction t
    LEFT JOIN ledger_entry e ON e.transaction_id = t.id
    GROUP BY t.id HAVING COALESCE(SUM(e.amount), 1) <> 0"""
FEES_UNLIKE_PAYMENTS = fill(
    """
    SELECT b.id FROM
        (SELECT f.id AS id, f.amount AS amount, COALESCE(SUM(e.amount), 0) AS owed,
                COALESCE(-SUM(CASE WHEN {pays} THEN e.amount END), 0) AS paid
         FROM fee f LEFT JOIN ledger_entry e ON e.fee_id = f.id
         LEFT JOIN ledger_transaction t ON t.id = e.transaction_id
         GROUP BY f.id, f.amount) b
    WHERE b.owed <> CASE WHEN b.paid > 0 AND b.paid > b.amount THEN 0
                         ELSE b.amount - b.paid END""",
    pays=_PAYS,
)
"""The same rule as `sip2gw.policy.money.debts.surplus_of`."""
FEES_WITHOUT_OPENING = """
    SELECT f.id FROM fee f WHERE f.amount <> 0 AND f.amount <>
        (SELECT COALESCE(SUM(e.amount), 0) FROM ledger_entry e
         JOIN ledger_transaction t ON t.id = e.transaction_id
         WHERE e.fee_id = f.id AND t.kind IN ('opening', 'adjustment')
           AND (t.kind = 'adjustment' OR e.position % 4 = 0))"""
PAYMENTS_UNLIKE_LINES = """
    SELECT p.id FROM payment p WHERE p.status IN ('booked', 'undone') AND p.amount <>
        (SELECT COALESCE(-SUM(e.amount), 0) FROM ledger_entry e
         WHERE e.transaction_id = p.id AND e.fee_id IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM payment_share s WHERE s.payment_id = p.id)"""
PAYMENTS_UNLIKE_LEDGER = """
    SELECT p.id FROM payment p LEFT JOIN
        (SELECT t.payment_id AS payment_id, -SUM(e.amount) AS booked
         FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
         WHERE t.payment_id IS NOT NULL AND e.fee_id IS NOT NULL GROUP BY t.payment_id) b
        ON b.payment_id = p.id
    WHERE COALESCE(b.booked, 0) <> CASE p.status WHEN 'booked' THEN p.amount ELSE 0 END
    AND NOT EXISTS (SELECT 1 FROM payment_share s WHERE s.payment_id = p.id)"""
SHARES_UNLIKE_LEDGER = """
    SELECT b.id FROM
        (SELECT p.id AS id, p.status AS status, p.amount AS amount,
                SUM(CASE WHEN s.state = 'booked' THEN s.amount ELSE 0 END) AS booked
         FROM payment p JOIN payment_share s ON s.payment_id = p.id
         GROUP BY p.id, p.status, p.amount) b
    WHERE CASE WHEN b.status = 'undone' THEN 0 ELSE b.booked END <>
        (SELECT COALESCE(-SUM(e.amount), 0) FROM ledger_transaction t
         JOIN ledger_entry e ON e.transaction_id = t.id
         WHERE t.payment_id = b.id AND e.account LIKE 'library:%')
    OR (b.status = 'booked' AND b.booked <> b.amount) OR (b.status = 'refused' AND b.booked <> 0)"""

_BALANCES = """
    WITH changed AS ({changed})
    SELECT src, id, patron_id, amount, holder, CAST(SUM(value) AS BIGINT) FROM
        (SELECT c.src, c.id, c.patron_id, c.amount, NULL AS holder,
                c.amount - COALESCE(f.amount, c.paid) AS value
         FROM changed c LEFT JOIN fee f ON f.id = c.id
         UNION ALL
         SELECT c.src, c.id, c.patron_id, c.amount,
                CASE WHEN t.kind = 'surplus' THEN e.debtor_id END, e.amount
         FROM changed c JOIN ledger_entry e ON e.fee_id = c.id
         JOIN ledger_transaction t ON t.id = e.transaction_id) b
    GROUP BY src, id, patron_id, amount, holder ORDER BY src, id"""


def balances(changed: str) -> str:
    """The statement that says what was paid of fees, and what of it is booked as too much.

    Rows of `changed` have `src`, `id`, `patron_id` and `amount` of a fee as it is or will be, and
    `paid` if it is not stored yet; so the result is the same before and after it is written. It has
    a row for each fee: `src` to `amount`, NULL, and the amount less what was paid; and one for each
    patron with a surplus of that fee: the same four, the patron's id, and the surplus.
    """
    return fill(_BALANCES, changed=changed)


BALANCES_OF_TRANSACTION = balances("""
        SELECT 0 AS src, f.id, f.patron_id, f.amount, 0 AS paid FROM fee f
        WHERE f.id IN (SELECT e.fee_id FROM ledger_entry e WHERE e.transaction_id = ?)""")
SURPLUSES = """
    SELECT e.fee_id, e.debtor_id, CAST(SUM(e.amount) AS BIGINT), MAX(t.time)
    FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
    WHERE t.kind = 'surplus' AND e.fee_id IS NOT NULL
    GROUP BY e.fee_id, e.debtor_id HAVING SUM(e.amount) <> 0
    ORDER BY MAX(t.time), e.fee_id, e.debtor_id"""

# Attempts of which nobody knew whether they were done; see `unknown`

ADD_GIVEN_UP = ADD_PAYMENT.replace("ON CONFLICT DO", "ON CONFLICT (id) DO")
GIVE_UP = "UPDATE payment SET status = 'refused', key = NULL WHERE id = ? AND status = 'unknown'"
PAYMENT_STATUS = "SELECT status FROM payment WHERE id = ?"
ADD_ATTEMPT = """
    INSERT INTO attempt (id, key, owed, settled, note) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET settled = excluded.settled, note = excluded.note
    WHERE attempt.settled IS NULL"""
RESOLVE = "UPDATE attempt SET resolved = ? WHERE id = ? AND resolved IS NULL"
_ATTEMPTED = """p.id, p.time, p.terminal, p.payer_id, p.amount, p.currency, p.payment_type, p.bk,
           a.key, p.content, p.key_expires, p.card, a.owed"""
UNKNOWN_PAYMENTS = fill(
    """
    SELECT {columns}
    FROM attempt a CROSS JOIN payment p WHERE p.id = a.id AND a.settled IS NULL
    ORDER BY p.time, p.id""",
    columns=_ATTEMPTED,
)
"""`CROSS` makes SQLite begin with the few attempts, and not with all payments in their order."""
RESOLVED = """a.resolved IS NOT NULL OR EXISTS (
               SELECT 1 FROM payment r WHERE r.terminal = p.terminal AND r.key = a.key
               AND r.content = p.content AND r.id <> p.id AND r.status IN ('booked', 'undone'))"""
"""Of an attempt `a` at a payment `p`: the terminal has asked again and was told yes."""
RECONCILIATIONS = fill(
    """
    SELECT {columns},
           p.status, a.settled, a.note,
           CASE WHEN {resolved} THEN 1 ELSE 0 END
    FROM attempt a CROSS JOIN payment p
    WHERE p.id = a.id AND (a.settled IS NULL OR a.settled >= ?) ORDER BY p.time, p.id""",
    columns=_ATTEMPTED,
    resolved=RESOLVED,
)
OWED_WITH_OTHERS = """
    SELECT CAST(COALESCE(SUM(e.amount), 0) AS BIGINT)
    FROM fee f JOIN ledger_entry e ON e.fee_id = f.id
    WHERE f.patron_id = ? OR f.patron_id IN (
        SELECT to_id FROM relationship WHERE type = 'head_of_family' AND from_id = ?
        UNION SELECT from_id FROM relationship WHERE type = 'authorisation' AND to_id = ?)"""
"""What a patron and those they may pay for owe together."""
ATTEMPT_SETTLED = "SELECT 1 FROM attempt WHERE id = ? AND settled IS NOT NULL"
REVIEW_SETTLED = """
    SELECT 1 FROM review WHERE id = ? AND (outcome <> 'unknown' OR account IS NOT NULL)"""
DONE_BY_ATTEMPT = "SELECT 1 FROM circulation WHERE item_id = ? AND attempt = ?"
SETTLE_CIRCULATION = """
    INSERT INTO review (id, time, kind, terminal, message, item, patron, key, outcome)
    VALUES (?, ?, 'unknown', ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome WHERE review.outcome = 'unknown'"""
CIRCULATION_OUTCOME = "SELECT outcome FROM review WHERE id = ?"
UNKNOWN_CIRCULATION = """
    SELECT id, time, terminal, message, item, patron, key FROM review
    WHERE kind = 'unknown' AND outcome = 'unknown' AND account IS NULL ORDER BY time, id"""
SETTLE_SENDING = """
    INSERT INTO review (id, time, kind, terminal, message, item, patron, key, account, outcome,
                        reasons)
    VALUES (?, ?, 'unknown', ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reasons = excluded.reasons
    WHERE review.outcome = 'unknown' AND review.state = 'open' AND excluded.reasons <> ''"""
DOUBTFUL_SENDINGS = """
    SELECT id, time, terminal, message, item, patron, key, account, reasons, outcome FROM review
    WHERE state = 'open' AND account IS NOT NULL
        AND (outcome = 'unknown' OR outcome = 'done' AND time >= ?)
    ORDER BY time, id"""

FAMILY_TWO_STEPS = """
    SELECT a.to_id FROM relationship a JOIN relationship b ON b.from_id = a.to_id
    WHERE a.type = 'head_of_family' AND b.type = 'head_of_family'"""

# Staff and terminals

SET_BLOCK = """
    INSERT INTO block (patron_id, source, type, note, valid_until, terminal, card, told)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (patron_id, source, type, position) DO UPDATE
    SET note = excluded.note, valid_until = excluded.valid_until, terminal = excluded.terminal,
        card = excluded.card, told = excluded.told"""
LIFT_BLOCKS = "DELETE FROM block WHERE patron_id = ? AND source = ?"
SET_PIN_HASH = "UPDATE patron SET pin_hash = ?, pin_origin = NULL WHERE id = ?"
REPLACE_PIN_HASH = "UPDATE patron SET pin_hash = ? WHERE id = ? AND pin_hash = ?"

# Relationships

_RELATIONSHIPS = """
    SELECT {columns} FROM relationship {where} ORDER BY type DESC, from_id, to_id"""
RELATIONSHIPS = fill(_RELATIONSHIPS, columns=RELATIONSHIP_COLUMNS, where="")
RELATIONSHIPS_OF = fill(
    _RELATIONSHIPS, columns=RELATIONSHIP_COLUMNS, where="WHERE from_id = ? OR to_id = ?"
)
_ADD_RELATIONSHIP = "INSERT INTO relationship ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
ADD_RELATIONSHIP = fill(_ADD_RELATIONSHIP, columns=RELATIONSHIP_COLUMNS)
CONFIRM_RELATIONSHIP = """
    UPDATE relationship SET confirmed = 1 WHERE type = ? AND from_id = ? AND to_id = ?"""
REMOVE_RELATIONSHIP = "DELETE FROM relationship WHERE type = ? AND from_id = ? AND to_id = ?"

# Door log

ADD_ACCESS = """
    INSERT INTO access_log (id, time, branch, terminal, decision, reason, mode, checks, patron_id,
                            direction, theirs)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


ACCESS_ROWS = """
    SELECT time, branch, terminal, decision, reason, mode, checks, patron_id, direction,
           theirs, id
    FROM access_log{where} ORDER BY time DESC, id DESC LIMIT ?"""
ACCESS_FILTERS = {
    "since": "time >= ?",
    "until": "time < ?",
    "before": "(time, id) < (?, ?)",
    "branch": "branch = ?",
    "terminal": "terminal = ?",
    "reason": "reason = ?",
    "patron": f"patron_id IN {ALL_IDS}",
    "direction": "direction = ?",
    "mode": "mode = ?",
    "other_mode": "mode <> ?",
}
ACCESS_IDS = """
    SELECT MAX(id) FROM (SELECT id FROM access_log WHERE id > ? ORDER BY id LIMIT ?) portion"""
ERASE_ACCESS = """
    UPDATE access_log SET patron_id = NULL
    WHERE id > ? AND id <= ? AND time < ? AND patron_id IS NOT NULL"""
IDENTITIES = "SELECT COUNT(*) FROM access_log WHERE time < ? AND patron_id IS NOT NULL"
ACCESS_COUNTS = """
    SELECT SUBSTR(time, 1, 16), branch, reason, COUNT(*) FROM access_log{where}
    GROUP BY SUBSTR(time, 1, 16), branch, reason ORDER BY 1, 2, 3"""
OBSERVED_COUNTS = """
    SELECT terminal, theirs, decision, reason, COUNT(*) FROM access_log{where}
    GROUP BY terminal, theirs, decision, reason ORDER BY 1, 2, 3, 4"""
PASSAGES = fill(
    """
    SELECT time, patron_id, direction FROM access_log
    WHERE branch = ? AND time >= ? AND time < ? AND decision = 'granted'
      AND patron_id IS NOT NULL AND mode <> '{observed}'
    ORDER BY time, id""",
    observed=OBSERVED,
)
ADD_REVEAL = """
    INSERT INTO reveal (id, time, user_name, branch, since, until, people)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
REVEALS = "SELECT time, user_name, branch, since, until, people FROM reveal ORDER BY id"

# What a person has to look at

REVIEWS = """
    SELECT id, time, kind, terminal, message, item, patron, outcome, reasons, note,
           closed, closed_by
    FROM review{where} ORDER BY time, id"""
REVIEW_FILTERS = {"id": "id = ?", "state": "state = ?"}
CLOSE_REVIEW = """
    UPDATE review SET state = 'closed', note = ?, closed = ?, closed_by = ?
    WHERE id = ? AND state = 'open'"""

# Who is inside, and the doors' lists

PRESENCE = """
    SELECT COUNT(CASE WHEN patron_id <> ? THEN 1 END),
           COUNT(CASE WHEN patron_id = ? THEN 1 END),
           COUNT(CASE WHEN patron_id = ? AND passage = ? AND since > ? AND since < ? THEN 1 END)
    FROM presence WHERE branch = ? AND ends > ?"""
ENTER = """
    INSERT INTO presence (branch, patron_id, passage, since, ends) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (branch, patron_id) DO UPDATE
    SET passage = excluded.passage, since = excluded.since, ends = excluded.ends"""
END_STAYS = "DELETE FROM presence WHERE branch = ? AND ends <= ?"
TAKE_BACK = "DELETE FROM presence WHERE branch = ? AND passage = ? AND since = ?"
MOVE_STAYS = "UPDATE presence SET ends = ? WHERE branch = ? AND ends > ?"
LEAVE = "DELETE FROM presence WHERE branch = ? AND patron_id = ?"
LEAVE_BY_PASSAGE = "DELETE FROM presence WHERE branch = ? AND passage = ?"
FORGET_STAYS = "DELETE FROM presence WHERE ends <= ?"
PUT_DOOR_ENTRY = """
    INSERT INTO door_entry (kind, branch, card, valid_until, weekdays, start_minute, end_minute,
                            note)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (card, kind, branch) DO UPDATE
    SET valid_until = excluded.valid_until, weekdays = excluded.weekdays,
        start_minute = excluded.start_minute, end_minute = excluded.end_minute,
        note = excluded.note"""
REMOVE_DOOR_ENTRY = "DELETE FROM door_entry WHERE kind = ? AND branch = ? AND card = ?"
DOOR_ENTRIES = """
    SELECT kind, branch, card, valid_until, weekdays, start_minute, end_minute, note
    FROM door_entry{where} ORDER BY branch, card"""
DOOR_ENTRY_FILTERS = {"kind": "kind = ?", "branch": "branch = ?"}

# Refused payments

KEEP_REFUSED = """
    INSERT INTO refused_payment (id, time, terminal, day, payer, amount, currency, payment_type,
                                 bk, reason)
    SELECT ?, ?, ?, ?, COALESCE((SELECT c.patron_id FROM card c WHERE c.number = ?), ?), ?, ?, ?,
           ?, ?
    WHERE ? > (SELECT COUNT(*) FROM refused_payment r WHERE r.terminal = ? AND r.day = ?)
    ON CONFLICT (id) DO NOTHING"""
COUNT_REFUSED = """
    INSERT INTO refused_more (terminal, day, time, count)
    SELECT ?, ?, ?, CAST(? AS BIGINT)
    WHERE NOT EXISTS (SELECT 1 FROM refused_payment r WHERE r.id = ?)
    ON CONFLICT (terminal, day) DO UPDATE
    SET count = refused_more.count + excluded.count, time = excluded.time"""
"""What `KEEP_REFUSED` has not kept, or what was never meant to be kept (an id of nothing)."""
REFUSED_PAYMENTS = """
    SELECT time, terminal, payer, amount, currency, payment_type, bk, reason
    FROM refused_payment{where} ORDER BY time, id"""
REFUSED_MORE = "SELECT time, terminal, count FROM refused_more{where} ORDER BY time, terminal"
REFUSED_FILTERS = {"since": "time >= ?", "until": "time < ?", "terminal": "terminal = ?"}
FORGET_REFUSED = "DELETE FROM refused_payment WHERE time < ?"
FORGET_REFUSED_MORE = "DELETE FROM refused_more WHERE time < ?"
COUNT_FORGOTTEN_REFUSED = "SELECT COUNT(*) FROM refused_payment WHERE time < ?"

# The store itself

STORE_VERSION = "SELECT version FROM store_version WHERE id = 1"
STORE_CHANGES = "SELECT version, whole FROM store_version WHERE id = 1"
CHANGED_PARTS = "SELECT part FROM changed_part WHERE version > ?"
BUMP_VERSION = """
    UPDATE store_version SET version = version + 1, whole = version + 1 WHERE id = 1"""
"""Anything may have changed."""
BUMP_FOR_PARTS = "UPDATE store_version SET version = version + 1 WHERE id = 1"
"""Only patrons have changed that are in one of the parts that `NOTE_PART` names."""
NOTE_PART = """
    INSERT INTO changed_part (part, version) SELECT ?, version FROM store_version WHERE id = 1
    ON CONFLICT (part) DO UPDATE SET version = excluded.version"""
KNOWN_LOGINS = "SELECT login, digest FROM known_login"
REMEMBER_LOGIN = """
    INSERT INTO known_login (login, digest) VALUES (?, ?)
    ON CONFLICT (login) DO UPDATE SET digest = excluded.digest"""
SETTING = "SELECT value FROM setting WHERE name = ?"
ADD_SETTING = "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
REMOVE_SETTING = "DELETE FROM setting WHERE name = ?"
FORGET_WHAT_WAS_KEYED = (
    "UPDATE patron SET pin_hash = NULL",
    "DELETE FROM guess",
    "DELETE FROM known_login",
)
"""With the PIN secret lost: no PIN can be right, and no digest be found again."""
REMEMBER_IMPORT = """
    INSERT INTO setting (name, value) VALUES ('last_import', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
LAST_IMPORT = "SELECT value FROM setting WHERE name = 'last_import'"
COUNT_PATRONS = fill("SELECT COUNT(*) FROM patron p WHERE {ours}", ours=OURS)


Wanted = str | int | tuple[str, ...]
"""What a filter asks for: as many values as its condition has marks."""
Values = Sequence[str | int]


def filtered(
    statement: str, conditions: Mapping[str, str], wanted: Mapping[str, Wanted | None]
) -> tuple[str, Values]:
    """`statement` with a WHERE for the filters in `wanted` that are set, and their parameters."""
    given = {name: value for name, value in wanted.items() if value is not None}
    clauses = " AND ".join(conditions[name] for name in given)
    values = chain.from_iterable(
        value if isinstance(value, tuple) else (value,) for value in given.values()
    )
    return statement.format(where=f" WHERE {clauses}" if clauses else ""), list(values)


def first(statement: str, values: Values, limit: int | None) -> tuple[str, Values]:
    """`statement` and `values` for no more than its first `limit` rows; for all without one."""
    return (statement, values) if limit is None else (f"{statement} LIMIT ?", (*values, limit))
