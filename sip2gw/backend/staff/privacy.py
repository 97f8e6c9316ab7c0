"""What is kept of a patron, and forgetting them (B91, B93, C146)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from sip2gw.backend.attempts import UnknownAttempt, UnknownPayment
from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import (
    Connection,
    Database,
    alone,
    telling,
)
from sip2gw.backend.sql.members import personal
from sip2gw.backend.sql.members.personal import (
    NAMES_OF,
    PATRON,
    PERSONAL,
    Personal,
)
from sip2gw.backend.sql.queries import BUMP_VERSION, STORE_VERSION, fill
from sip2gw.backend.sql.stubs import IDS_OF, LIVING, SAME_PERSON
from sip2gw.backend.sql.values import time_text
from sip2gw.backend.staff.people import holder
from sip2gw.model import Minor
from sip2gw.model.people import STUB_MARK
from sip2gw.policy.members.privacy import (
    Lookout,
    Ties,
    Wording,
    reasons_to_keep,
    wording,
)

FORGOTTEN_AT_ONCE = 50
"""Patrons that maintenance forgets in one transaction; payments wait meanwhile."""
SEARCHED_AT_ONCE = 1000
"""Patrons for whom it reads the texts of the store once; nobody waits meanwhile."""
TEXTS_AT_ONCE = 10_000
"""Rows with texts that are in memory at a time."""

TURN = timedelta(hours=1)
"""Of a process that forgets the ended."""
_TAKE_TURN = """
    INSERT INTO setting (name, value) VALUES ('forgetting_until', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE setting.value < ?"""
_END_TURN = "UPDATE setting SET value = '' WHERE name = 'forgetting_until' AND value = ?"

_STUB_BYTES = 8

TABLES = (*(known.table for known in PERSONAL), PATRON.table)
"""Those that may hold something about a patron."""

_BALANCES = fill(
    """
    SELECT CAST(SUM(e.amount) AS BIGINT) FROM fee f JOIN ledger_entry e ON e.fee_id = f.id
    WHERE f.patron_id {same} GROUP BY f.id HAVING SUM(e.amount) <> 0""",
    same=SAME_PERSON,
)
_SURPLUS = fill(
    """
    SELECT CAST(COALESCE(SUM(e.amount), 0) AS BIGINT)
    FROM fee f JOIN ledger_entry e ON e.fee_id = f.id
    JOIN ledger_transaction t ON t.id = e.transaction_id
    WHERE f.patron_id {same} AND t.kind = 'surplus'""",
    same=SAME_PERSON,
)
"""All surplus of a fee belongs to its debtor (C103)."""
_LOANS = fill("SELECT COUNT(*) FROM loan WHERE patron_id {same}", same=SAME_PERSON)
_READY_HOLDS = fill(
    "SELECT COUNT(*) FROM hold WHERE patron_id {same} AND ready = 1", same=SAME_PERSON
)
_UNKNOWN = fill(
    """
    SELECT (SELECT COUNT(*) FROM journal WHERE state = 'open' AND patron IN ({names}))
         + (SELECT COUNT(*) FROM attempt a JOIN payment p ON p.id = a.id
            WHERE a.settled IS NULL AND p.payer_id IN ({names}))
         + (SELECT COUNT(*) FROM payment_share WHERE state = 'sent' AND debtor_id IN ({names}))
         + (SELECT COUNT(*) FROM review WHERE outcome = 'unknown' AND patron IN ({names}))""",
    names=NAMES_OF,
)
_PENDING = fill(
    """
    SELECT COUNT(*) FROM payment_share s JOIN payment p ON p.id = s.payment_id
    WHERE s.debtor_id {same} AND s.kept IS NOT NULL AND s.exported IS NULL
      AND s.state = 'booked' AND p.status <> 'undone'""",
    same=SAME_PERSON,
)
_ENDED = fill(
    """
    SELECT p.id FROM patron p
    WHERE {living} AND p.status = 9 AND COALESCE(p.ended_on, p.membership_until) < ?
    ORDER BY p.id""",
    living=LIVING,
)
"""Those who ended by a complete import, and those whose membership ended: maintenance or an import
gave them the status (B93). Whoever has another one is back."""
_FEE_IDS = fill("SELECT id FROM fee WHERE patron_id {same}", same=SAME_PERSON)


class Forgotten(Struct, frozen=True):
    """What became of a patron."""

    stub: str
    """What the ledger names instead."""
    rows: int
    """Rows that were deleted or changed."""
    left: int
    """Fees whose ids contain a card number; they are the keys of the ledger, and stay (B47)."""


_APART = "\0"
"""Between texts that are searched together; no name goes over it."""

Row = tuple[str, dict[str, Any]]
"""What a row is about, and its columns."""

_WITH_TEXTS = tuple(table for table in (PATRON, *PERSONAL) if table.texts)


# Report -----------------------------------------------------------------------------------------


def report(connection: Connection, number: str) -> Iterator[Row]:
    """All that the store keeps of the patron with this id or card, but the PIN's hash (B91).

    Raises:
        RefusedError: nobody has it.
    """
    patron_id = holder(connection, number)
    for table in (PATRON, *PERSONAL):
        columns = (*table.whose, *table.shown)
        if not columns:
            continue
        for row in _about(connection, personal.rows_of(table), patron_id):
            yield table.kind, dict(zip(columns, row, strict=True))
    words = _words(connection, patron_id)
    for table in _WITH_TEXTS:
        rows = _about(connection, personal.texts_about(table), patron_id)
        own = {_named(table, row).key for row in rows}
        for named, _ in _mentions(connection, table, Lookout({patron_id: words})):
            for column, text in named.texts.items():
                if named.key not in own and text and words.names_them(text, own=False):
                    yield "mention", {"where": f"{table.table}.{column}", "text": text}


def _about(connection: Connection, statement: str, patron_id: str) -> list[Any]:
    """The rows of a statement whose every `?` is the patron."""
    return connection.execute(statement, (patron_id,) * statement.count("?")).fetchall()


_Person: TypeAlias = tuple[str, Wording]
"""The stub of a patron, and how texts may name them."""


class _Named(Struct, frozen=True):
    """A row whose texts may name a patron."""

    table: Personal
    key: tuple[Any, ...]
    texts: Mapping[str, str | None]


def _words(connection: Connection, patron_id: str) -> Wording:
    (found,) = _about(connection, personal.PATRON_WORDS, patron_id)
    numbers = [number for (number,) in _about(connection, personal.NUMBERS, patron_id)]
    _, name, *details = found
    return wording(numbers, name, filter(None, details))


def _mentions(
    connection: Connection, table: Personal, lookout: Lookout
) -> Iterator[tuple[_Named, list[str]]]:
    """The rows of a table that surely name patrons, with whom; reads all of its texts."""
    keys = len(table.key)
    statement, values = personal.texts_portion(table, is_first=True), (TEXTS_AT_ONCE,)
    while rows := connection.execute(statement, values).fetchall():
        for row in rows:
            people = lookout.named_in(_APART.join(filter(None, row[keys:])))
            if people:
                yield _named(table, row), people
        statement, values = personal.texts_portion(table), (*rows[-1][:keys], TEXTS_AT_ONCE)


def _named(table: Personal, row: Sequence[Any]) -> _Named:
    keys = len(table.key)
    texts = dict(zip(table.texts, row[keys:], strict=True))
    return _Named(table, tuple(row[:keys]), texts)


# Forgetting -------------------------------------------------------------------------------------


def forget_patron(
    store: Database, number: str, money: Callable[[Minor], str], *, force: bool = False
) -> tuple[Forgotten, str]:
    """Remove the patron with this id or card from the whole store (B91, C146). Blocks.

    Args:
        store: whose patron it is.
        number: the id or any card.
        money: how an amount is told.
        force: whatever is owed, on loan, left or unknown. What a gateway itself has still to
            settle cannot be forced.

    Returns:
        What became of the patron, and a sentence about what is left to do, or nothing.

    Raises:
        RefusedError: nobody has the number, or something ties the patron to the library.
    """

    def choose(connection: Connection, _: Collection[str] | None = None) -> list[str]:
        patron_id = holder(connection, number)
        _insist_on_freedom(connection, patron_id, store.spooled(), money, force=force)
        return [patron_id]

    (forgotten,) = _forget_chosen(store, choose)
    return forgotten, _erase_traces(store)


class _Choice(Protocol):
    """Whom to forget: of all patrons, or of those in `among`."""

    def __call__(
        self, connection: Connection, among: Collection[str] | None = None, /
    ) -> list[str]: ...


def _forget_chosen(store: Database, choose: _Choice) -> Sequence[Forgotten]:
    """Forget whom `choose` names, some at a time; it is asked again in each transaction (C63)."""
    forgotten: list[Forgotten] = []
    with store.own_connection() as connection:
        chosen, found = choose(connection), Found()
        for start in range(0, len(chosen), FORGOTTEN_AT_ONCE):
            some = chosen[start : start + FORGOTTEN_AT_ONCE]
            if not _suffices(connection, found, some):
                found = search(connection, chosen[start : start + SEARCHED_AT_ONCE])
            with alone(connection):
                still = choose(connection, some)
                if not _suffices(connection, found, still):
                    found = search(connection, still)
                forgotten += forget(connection, still, found)
                connection.execute(BUMP_VERSION)
                connection.execute("COMMIT")
                found = replace(found, version=found.version + 1)
            store.distrust_cache()
    return forgotten


def _erase_traces(store: Database) -> str:
    with store.own_connection() as connection:
        return connection.dialect.erase_traces(connection, TABLES)


def _insist_on_freedom(
    connection: Connection,
    patron_id: str,
    spooled: Iterable[UnknownAttempt],
    money: Callable[[Minor], str],
    *,
    force: bool,
) -> None:
    ties = ties_of(connection, patron_id, spooled)
    if ties.unsettled:
        raise RefusedError(
            f"patron {patron_id} cannot be forgotten before the gateway has settled what it does"
            " not know the outcome of; see `payment reconcile` and `review list`"
        )
    reasons = reasons_to_keep(ties, money)
    if reasons and not force:
        raise RefusedError(
            f"patron {patron_id} was not forgotten: {', '.join(reasons)}; settle that first, or"
            " use --force to forget them all the same"
        )


def ties_of(connection: Connection, patron_id: str, spooled: Iterable[UnknownAttempt]) -> Ties:
    """What ties the patron to the library; `spooled` are attempts that are only in the spool."""
    balances = [amount for (amount,) in _about(connection, _BALANCES, patron_id)]
    ((loans,),) = _about(connection, _LOANS, patron_id)
    ((holds,),) = _about(connection, _READY_HOLDS, patron_id)
    ((unknown,),) = _about(connection, _UNKNOWN, patron_id)
    ((pending,),) = _about(connection, _PENDING, patron_id)
    ((surplus,),) = _about(connection, _SURPLUS, patron_id)
    ids = {one for (one,) in _about(connection, IDS_OF, patron_id)}
    unsettled = sum(_party(known) in ids for known in spooled)
    return Ties(
        owed=sum(amount for amount in balances if amount > 0),
        credit=-sum(amount for amount in balances if amount < 0),
        surplus=surplus,
        loans=loans,
        ready_holds=holds,
        unknown=unknown + unsettled,
        unsettled=unsettled,
        pending=pending,
    )


def _party(known: UnknownAttempt) -> str:
    return known.payer_id if isinstance(known, UnknownPayment) else known.patron_id


class Found(Struct, frozen=True):
    """Where texts name patrons, found without keeping anybody from writing."""

    version: int = -1
    """Of the store: only commands write texts about others, and each raises it."""
    rows: Mapping[str, Sequence[_Named]] = field(default_factory=dict)
    """By patron."""


def search(connection: Connection, patron_ids: Collection[str]) -> Found:
    """Look for what `forget` has to reword; takes long in a large store, for however many."""
    version = _version(connection)
    lookout = Lookout({patron_id: _words(connection, patron_id) for patron_id in patron_ids})
    rows: dict[str, list[_Named]] = {patron_id: [] for patron_id in patron_ids}
    for table in _WITH_TEXTS:
        for named, people in _mentions(connection, table, lookout):
            for patron_id in people:
                rows[patron_id].append(named)
    return Found(version, rows)


def _suffices(connection: Connection, found: Found, patron_ids: Collection[str]) -> bool:
    """Whether `found` is still right, and has these patrons."""
    return found.version == _version(connection) and found.rows.keys() >= set(patron_ids)


def _version(connection: Connection) -> int:
    return int(connection.execute(STORE_VERSION).fetchone()[0])


def forget(connection: Connection, patron_ids: Sequence[str], found: Found) -> list[Forgotten]:
    """Remove patrons from all rows; the ledger names stubs in their place (C146).

    Call it in a transaction that is `alone`. Nothing tells afterwards whose stub it is.

    Args:
        connection: in that transaction.
        patron_ids: whom to forget.
        found: what `search` finds for them, or more.
    """
    people = {patron_id: (_new_stub(), _words(connection, patron_id)) for patron_id in patron_ids}
    left = [_fees_named(connection, known, words) for known, (_, words) in people.items()]
    rows = 0
    for patron_id, (stub, _) in people.items():
        connection.execute(personal.ADD_STUB, (stub,))
        connection.execute(personal.MARK, (stub, patron_id))
    rows += _reword(connection, people, found)
    connection.execute(personal.LOANS_LOST)
    for table in PERSONAL:
        for statement in personal.forgetting(table):
            rows += connection.execute(statement).rowcount
    rows += connection.execute(personal.REMOVE_MARKED).rowcount
    return [
        Forgotten(stub, rows, fees) for (stub, _), fees in zip(people.values(), left, strict=True)
    ]


def _new_stub() -> str:
    return f"{STUB_MARK}{secrets.token_hex(_STUB_BYTES)}"


def _fees_named(connection: Connection, patron_id: str, words: Wording) -> int:
    fees = _about(connection, _FEE_IDS, patron_id)
    return sum(words.names_them(fee_id, own=False) for (fee_id,) in fees)


def _reword(connection: Connection, people: Mapping[str, _Person], found: Found) -> int:
    """Put stubs where texts name the patrons, who are marked; returns how many rows changed."""
    changed = 0
    for table in _WITH_TEXTS:
        for row in connection.execute(personal.texts_about_marked(table)).fetchall():
            changed += _put(connection, _named(table, row), people.values(), own=True)
    for patron_id, person in people.items():
        for known in found.rows[patron_id]:
            statement = personal.texts_by_key(known.table)
            for row in connection.execute(statement, known.key).fetchall():
                changed += _put(connection, _named(known.table, row), (person,), own=False)
    return changed


def _put(connection: Connection, named: _Named, people: Iterable[_Person], *, own: bool) -> int:
    texts = dict(named.texts)
    for stub, words in people:
        for column, text in texts.items():
            if text and words.names_them(text, own=own):
                is_cleared = column in named.table.cleared
                texts[column] = "" if is_cleared else words.without(text, stub, own=own)
    if texts == named.texts:
        return 0
    if named.table.useless:
        return connection.execute(personal.delete_row(named.table), named.key).rowcount
    values = (*texts.values(), *named.key)
    return connection.execute(personal.put_texts(named.table), values).rowcount


# Retention --------------------------------------------------------------------------------------


def forget_ended(store: Database, before: datetime) -> int:
    """Forget the patrons who ended before that day and whom nothing ties to us (B92, B93). Blocks.

    The database's files may hold copies of their rows for a while: to write them anew at once, as
    `forget_patron` does, would hold up the gateway that does this once a day.

    One process at a time does it. What one has forgotten makes another read all texts again, so
    that several at once would take hours. One that was killed keeps others away for `TURN`.

    Returns how many; 0 while another process does it.
    """

    def choose(connection: Connection, among: Collection[str] | None = None) -> list[str]:
        return list(_free(connection, before, store.spooled(), among))

    with telling("ended patrons were not forgotten", "run `sip2gw maintain` again"):
        turn = _take_turn(store)
        if turn is None:
            return 0
        try:
            return len(_forget_chosen(store, choose))
        finally:
            with store.own_connection() as connection:
                connection.execute(_END_TURN, (turn,))


def _take_turn(store: Database) -> str | None:
    """The end of this process's turn to forget the ended; None while it is another's."""
    now = datetime.now(UTC)
    ends = time_text(now + TURN)
    with store.own_connection() as connection:
        taken = connection.execute(_TAKE_TURN, (ends, time_text(now))).rowcount
    return ends if taken else None


def count_ended(store: Database, before: datetime) -> int:
    """How many patrons `forget_ended` would forget."""
    with store.snapshot() as connection:
        return sum(1 for _ in _free(connection, before, store.spooled()))


def count_ended_kept(store: Database, before: datetime) -> int:
    """How many of the ended it keeps, because something is owed, on loan, left or unknown."""
    with store.snapshot() as connection:
        free = sum(1 for _ in _free(connection, before, store.spooled()))
        return len(_ended(connection, before)) - free


def _ended(connection: Connection, before: datetime) -> list[str]:
    day = before.date().isoformat()
    return [patron_id for (patron_id,) in connection.execute(_ENDED, (day,)).fetchall()]


def _free(
    connection: Connection,
    before: datetime,
    spooled: Sequence[UnknownAttempt],
    among: Collection[str] | None = None,
) -> Iterator[str]:
    """The ended patrons whom nothing ties to the library."""
    nothing = Ties()
    for patron_id in _ended(connection, before):
        is_meant = among is None or patron_id in among
        if is_meant and ties_of(connection, patron_id, spooled) == nothing:
            yield patron_id
