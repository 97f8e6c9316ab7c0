"""What the tables say about patrons: which rows and columns, and what becomes of them (B91, C146).

The one place for it. A report shows it, forgetting works it off in this order, and a test compares
it with the schema: every table and column must be listed. The stub that takes a patron's place is
made before, and the row of `patron` goes last.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.stubs import IDS_OF
from sip2gw.backend.sql.writes import names
from sip2gw.model.support import AutomaticCategory


class Personal(Struct, frozen=True):
    """A table with rows about patrons. Together `whose`, `shown` and `rest` are its columns."""

    table: str
    kind: str
    """What the report calls such a row."""
    key: tuple[str, ...]
    """The primary key."""
    whose: tuple[str, ...] = ()
    """Columns that name a patron, by id or by any card."""
    shown: tuple[str, ...] = ()
    """What the report shows beside them."""
    rest: tuple[str, ...] = ()
    """Says nothing about anybody, or is a secret."""
    texts: tuple[str, ...] = ()
    """Columns in which any patron may be named, whoever the row is about."""
    about: str = ""
    """Which rows `t` are about the patrons in `{names}`; by default those that `whose` names."""
    deleted: bool = True
    """Whether forgetting deletes rows about a patron; otherwise a stub takes the patron's place in
    `whose`, and the rest stays."""
    emptied: Mapping[str, str] = field(default_factory=dict)
    """What columns of rows about a patron say afterwards, as SQL."""
    cleared: tuple[str, ...] = ()
    """Of `texts`, those that are emptied when they name a forgotten patron: with a stub in them
    two could become equal, which an index forbids."""
    useless: bool = False
    """Rows whose `texts` name a forgotten patron are deleted, too: they are worth nothing without
    the name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.whose, *self.shown, *self.rest)

    @property
    def rows(self) -> str:
        """The condition for rows `t` about the patrons that `{names}` selects."""
        named = " OR ".join(f"t.{column} IN ({{names}})" for column in self.whose)
        return self.about or named or "1 = 0"


_TEXT_OF_MESSAGE = f"""CASE
    WHEN t.object <> '' AND t.category IN ('{AutomaticCategory.OFFLINE}',
        '{AutomaticCategory.REFUSED_PAYMENT}', '{AutomaticCategory.UNKNOWN_PAYMENT}') THEN t.text
    WHEN t.closed IS NULL THEN 'The patron has been forgotten. Close this message.'
    ELSE '' END"""
"""Money and items are followed up without the patron, too, and the gateway wrote about them without
names. Nobody can be answered any more in other matters."""

PERSONAL = (
    Personal(
        "pin_failure",
        "wrong PINs",
        names("patron_id"),
        whose=names("patron_id"),
        shown=names("failures locked_until"),
    ),
    Personal(
        "badge_assignment",
        "badge",
        names("patron_id badge_code"),
        whose=names("patron_id"),
        shown=names("badge_code valid_from valid_until branches source"),
    ),
    Personal(
        "badge_change",
        "badge change",
        names("patron_id badge_code id"),
        whose=names("patron_id"),
        shown=names("badge_code time action valid_from valid_until branches reason source"),
        rest=names("id user_name"),
        texts=names("reason"),
    ),
    Personal(
        "activity",
        "last activity",
        names("patron_id"),
        whose=names("patron_id"),
        shown=names("day"),
    ),
    Personal(
        "membership_fee",
        "membership fee",
        names("patron_id since"),
        whose=names("patron_id"),
        shown=names("since until fee_id amount"),
        rest=names("closed"),
    ),
    Personal(
        "notice_given",
        "notice given",
        names("patron_id kind cause"),
        whose=names("patron_id"),
        shown=names("kind cause day"),
    ),
    Personal(
        "outbox",
        "notice",
        names("id"),
        whose=names("patron_id"),
        shown=names("kind cause details created state channel recipient last_try ended problem"),
        rest=names("id attempts first_try next_try message_id lease leased_until"),
    ),
    Personal(
        "block",
        "block",
        names("patron_id source type position"),
        whose=names("patron_id"),
        shown=names("source type note valid_until terminal card"),
        rest=names("position told"),
        texts=names("note"),
    ),
    Personal(
        "relationship",
        "relationship",
        names("type from_id to_id"),
        whose=names("from_id to_id"),
        shown=names("type may_renew may_pay confirmed proposed_by"),
    ),
    Personal(
        "loan",
        "loan",
        names("item_id"),
        whose=names("patron_id"),
        shown=names("item_id checked_out due renewals"),
    ),
    Personal(
        "hold",
        "hold",
        names("id"),
        whose=names("patron_id"),
        shown=names("id item_id title_id placed pickup_branch ready expires"),
    ),
    Personal(
        "borrowed",
        "ended loan",
        names("patron_id work"),
        whose=names("patron_id"),
        shown=names("work until"),
    ),
    Personal(
        "circulation",
        "item transaction",
        names("item_id key"),
        whose=names("patron_id"),
        shown=names("item_id terminal code expires"),
        rest=names("key position outcome before attempt"),
        texts=names("key outcome before"),
        useless=True,
    ),
    Personal(
        "presence",
        "stay",
        names("branch patron_id"),
        whose=names("patron_id"),
        shown=names("branch passage since ends"),
    ),
    Personal(
        "door_entry",
        "door list",
        names("card kind branch"),
        whose=names("card"),
        shown=names("kind branch valid_until weekdays start_minute end_minute note"),
        texts=names("note"),
    ),
    Personal(
        "access_log",
        "passage",
        names("id"),
        whose=names("patron_id"),
        shown=names("time branch terminal decision reason mode checks direction theirs"),
        rest=names("id"),
        deleted=False,
    ),
    Personal(
        "review",
        "review",
        names("id"),
        whose=names("patron"),
        shown=names("id time kind terminal message item outcome reasons state note closed"),
        rest=names("closed_by key account"),
        texts=names("item note key"),
        deleted=False,
        emptied={"note": "''"},
    ),
    Personal(
        "journal",
        "loan taken off line",
        names("id"),
        whose=names("patron"),
        shown=names("id time happened account terminal message item state"),
        rest=names("key request tries lease leased_until expires"),
    ),
    Personal(
        "support_event",
        "answer of customer support",
        names("message_id position"),
        shown=names("message_id time kind before after note"),
        rest=names("position user_name"),
        texts=names("note"),
        about="""t.message_id IN
            (SELECT m.id FROM support_message m WHERE m.patron_id IN ({names}))""",
        deleted=False,
        emptied={"note": "''"},
    ),
    Personal(
        "support_message",
        "message of customer support",
        names("id"),
        whose=names("patron_id"),
        shown=names("id type category object branch text status created count repeated closed"),
        rest=names(
            "answered reopened department unit processor reporter response_due processing_due"
        ),
        texts=names("object text"),
        cleared=names("object"),
        deleted=False,
        emptied={"text": _TEXT_OF_MESSAGE},
    ),
    Personal(
        "refused_payment",
        "refused payment",
        names("id"),
        whose=names("payer"),
        shown=names("time terminal amount currency payment_type bk reason"),
        rest=names("id day followed"),
        texts=names("bk"),
        deleted=False,
    ),
    Personal(
        "attempt",
        "payment of unknown outcome",
        names("id"),
        shown=names("id owed settled resolved note"),
        rest=names("key followed"),
        texts=names("key note"),
        about="EXISTS (SELECT 1 FROM payment p WHERE p.id = t.id AND p.payer_id IN ({names}))",
        deleted=False,
        emptied={"note": "''"},
    ),
    Personal(
        "payment_share",
        "payment through a library system",
        names("payment_id position"),
        whose=names("debtor_id card"),
        shown=names(
            "payment_id account relation fee_id amount till state sent ended settled resolved"
            " owed_before owed_after proposal note kept exported"
        ),
        rest=names("position lines_before key doubt"),
        texts=names("note key"),
        deleted=False,
        emptied={"note": "''"},
    ),
    Personal(
        "payment",
        "payment",
        names("id"),
        whose=names("payer_id card"),
        shown=names("id time terminal amount currency payment_type bk status texts transacted"),
        rest=names("key content key_expires"),
        texts=names("bk texts key content"),
        about="""(t.payer_id IN ({names}) OR t.card IN ({names}) OR t.id IN
            (SELECT e.transaction_id FROM ledger_entry e WHERE e.debtor_id IN ({names})))""",
        deleted=False,
        emptied={"texts": "'[]'"},
    ),
    Personal(
        "fee",
        "fee",
        names("id"),
        whose=names("patron_id"),
        shown=names("id amount created type description item_id status arrangement_date"),
        texts=names("description"),
        deleted=False,
        emptied={"description": "''"},
    ),
    Personal(
        "ledger_transaction",
        "ledger transaction",
        names("id"),
        shown=names("id time kind payment_id"),
        about="t.id IN (SELECT transaction_id FROM ledger_entry WHERE debtor_id IN ({names}))",
        deleted=False,
    ),
    Personal(
        "ledger_entry",
        "ledger entry",
        names("transaction_id position"),
        whose=names("debtor_id"),
        shown=names("transaction_id account amount fee_id relation"),
        rest=names("position"),
        deleted=False,
    ),
    Personal(
        "item",
        "item",
        names("id"),
        rest=names(
            "id title title_id author media_type material owner_branch current_branch shelf"
            " call_number for_loan loan_days max_renewals checkout_fee overdue_fee_per_day magnetic"
            " security_marker note attachment status properties overdue_fee_max minimum_age"
        ),
        texts=names("note"),
        deleted=False,
    ),
    Personal(
        "audit",
        "audit entry",
        names("id"),
        whose=names("patron_id"),
        shown=names("time action object source outcome"),
        rest=names("id who role address"),
        texts=names("object"),
        deleted=False,
    ),
    Personal(
        "answered",
        "answer to repeat",
        names("token key"),
        rest=names("token key request time status body"),
        texts=names("key body"),
        useless=True,
    ),
    Personal(
        "card", "card", names("number"), whose=names("patron_id number"), shown=names("state")
    ),
)
"""In the order in which a patron is forgotten: what is found through other rows before these."""

PATRON = Personal(
    "patron",
    "patron",
    names("id"),
    whose=names("id"),
    shown=names(
        "name birth_date membership_code membership_from membership_until status home_branch"
        " language email phone address notices house_rules_accepted fee_limit ended_on status_fee"
        " answers merged_into"
    ),
    rest=names("pin_hash pin_origin forgotten_on forgotten_as"),
    texts=names("notices answers"),
)
"""Comes first in the report, and goes last: the others are found by it."""

IMPERSONAL: Mapping[str, str] = {
    "membership": "definitions of the library",
    "guess": "keyed digests of the card numbers at which PINs were guessed",
    "badge": "definitions of the library",
    "known_login": "terminals",
    "refused_more": "numbers of refused payments, by terminal and day",
    "token": "names, roles and digests of tokens",
    "reveal": "the members of staff who looked at names in the door log",
    "calendar_change": "when and why members of staff changed the hours of a branch",
    "terminal_watch": "what staff were told of terminals, and when",
    "outbox_forgotten": "digests of notices that were deleted, so that none is written twice",
    "support_type": "codes of customer support",
    "support_category": "codes of customer support",
    "support_department": "codes of customer support",
    "support_unit": "codes of customer support",
    "support_default_message": "answers that the library wrote in advance",
    "support_processing": "which members of staff handle what in customer support",
    "setting": "settings of the store, among them the PIN secret",
    "store_version": "numbers",
    "changed_part": "when one of many patrons was last changed, whichever it was",
    "schema_migration": "the store's own history",
}
"""Tables about no patron, and what they hold."""

NAMES_OF = fill("{ids} UNION SELECT number FROM card WHERE patron_id = ?", ids=IDS_OF)
"""What names one patron: the id, those that were merged into it, and all cards."""
NAMES_FORGOTTEN = """SELECT id FROM patron WHERE forgotten_as IS NOT NULL
    UNION SELECT c.number FROM card c JOIN patron p ON p.id = c.patron_id
    WHERE p.forgotten_as IS NOT NULL"""
"""What names the patrons that this transaction forgets."""

_STUB_OF = """(SELECT MAX(p.forgotten_as) FROM patron p WHERE p.forgotten_as IS NOT NULL
        AND (p.id = t.{column} OR p.id =
             (SELECT c.patron_id FROM card c WHERE c.number = t.{column})))"""
"""The former id of a merged patron is a card, too; both have one stub."""

PATRON_WORDS = """
    SELECT p.id, p.name, p.email, p.phone, p.address FROM patron p WHERE p.id = ?"""
NUMBERS = f"{NAMES_OF} ORDER BY 1"
ADD_STUB = """
    INSERT INTO patron (id, name, forgotten_on) VALUES (?, '', CAST(CURRENT_DATE AS TEXT))"""
MARK = fill("UPDATE patron SET forgotten_as = ? WHERE id IN ({ids})", ids=IDS_OF)
"""The patron, and the empty rows of those who were merged into them."""
REMOVE_MARKED = "DELETE FROM patron WHERE forgotten_as IS NOT NULL"
LOANS_LOST = fill(
    """UPDATE item SET status = 'missing' WHERE id IN
    (SELECT l.item_id FROM loan l WHERE l.patron_id IN ({names}))""",
    names=NAMES_FORGOTTEN,
)
"""Nobody can tell any more who has them."""
REKEY_ENTRIES = fill(
    """
    UPDATE ledger_entry AS t SET debtor_id = {stub}, account = CASE t.account
        WHEN 'surplus:' || t.debtor_id THEN 'surplus:' || {stub}
        WHEN 'refund:' || t.debtor_id THEN 'refund:' || {stub}
        ELSE t.account END
    WHERE t.debtor_id IN ({names})""",
    stub=fill(_STUB_OF, column="debtor_id"),
    names=NAMES_FORGOTTEN,
)
"""The one change of an entry that the ledger's guards allow."""


def rows_of(personal: Personal) -> str:
    """The rows about one patron, named by `NAMES_OF`: values of `whose` and `shown`."""
    return fill(
        "SELECT {columns} FROM {table} t WHERE {rows} ORDER BY {key}",
        columns=", ".join(f"t.{name}" for name in (*personal.whose, *personal.shown)),
        table=personal.table,
        rows=fill(personal.rows, names=NAMES_OF),
        key=", ".join(f"t.{name}" for name in personal.key),
    )


_TEXTS = "SELECT {columns} FROM {table} t WHERE {condition}"


def _texts(personal: Personal, condition: str) -> str:
    columns = (f"t.{name}" for name in (*personal.key, *personal.texts))
    return fill(_TEXTS, columns=", ".join(columns), table=personal.table, condition=condition)


def texts_portion(personal: Personal, *, is_first: bool = False) -> str:
    """Key and texts of some rows, by key: values of the last key unless it is the first portion,
    then how many."""
    key = ", ".join(f"t.{name}" for name in personal.key)
    marks = ", ".join("?" * len(personal.key))
    after = "1 = 1" if is_first else f"({key}) > ({marks})"
    return f"{_texts(personal, after)} ORDER BY {key} LIMIT ?"


def texts_about(personal: Personal) -> str:
    """Key and texts of the rows about one patron, named by `NAMES_OF`."""
    return _texts(personal, fill(personal.rows, names=NAMES_OF))


def texts_about_marked(personal: Personal) -> str:
    """Key and texts of the rows about the patrons whom this transaction forgets."""
    return _texts(personal, fill(personal.rows, names=NAMES_FORGOTTEN))


def texts_by_key(personal: Personal) -> str:
    """Key and texts of one row."""
    return _texts(personal, _by_key(personal))


def put_texts(personal: Personal) -> str:
    """Set the texts of a row: values of `texts`, then of `key`."""
    return fill(
        "UPDATE {table} SET {texts} WHERE {key}",
        table=personal.table,
        texts=", ".join(f"{name} = ?" for name in personal.texts),
        key=_by_key(personal),
    )


def delete_row(personal: Personal) -> str:
    """Delete a row by its key."""
    return fill("DELETE FROM {table} WHERE {key}", table=personal.table, key=_by_key(personal))


def _by_key(personal: Personal) -> str:
    return " AND ".join(f"{name} = ?" for name in personal.key)


def forgetting(personal: Personal) -> list[str]:
    """Statements that make a table forget the patrons who are marked."""
    rows = fill(personal.rows, names=NAMES_FORGOTTEN)
    if personal.deleted:
        return [fill("DELETE FROM {table} AS t WHERE {rows}", table=personal.table, rows=rows)]
    if personal.table == "ledger_entry":
        return [REKEY_ENTRIES]
    emptied = ", ".join(f"{name} = {value}" for name, value in personal.emptied.items())
    statements = []
    if emptied:
        statements.append(
            fill(
                "UPDATE {table} AS t SET {emptied} WHERE {rows}",
                table=personal.table,
                emptied=emptied,
                rows=rows,
            )
        )
    for column in personal.whose:
        statements.append(
            fill(
                "UPDATE {table} AS t SET {column} = {stub} WHERE t.{column} IN ({names})",
                table=personal.table,
                column=column,
                stub=fill(_STUB_OF, column=column),
                names=NAMES_FORGOTTEN,
            )
        )
    return statements
