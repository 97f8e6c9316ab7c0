"""Pages of long lists: the database finds, orders and cuts them, wherever one begins (B47, B83)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.base import Begun
from sip2gw.backend.database import Connection
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql.door_log import access_rows
from sip2gw.backend.sql.money import shares, unknown
from sip2gw.backend.sql.money.ledger import payments
from sip2gw.backend.sqlite.store import Store
from sip2gw.backend.staff.audit import entries
from sip2gw.model import Payment, PaymentLine
from sip2gw.model.badges import Deed
from sip2gw.model.shares import Debts, Share
from sip2gw.policy.money.debts import PaymentPlan

from .library import NOW, order, pay_fee

MINUTE = timedelta(minutes=1)
_TIMES = ("id", "time")
_TABLES = {
    "access_log": "branch terminal decision reason mode checks direction",
    "payment": "terminal payer_id amount currency payment_type bk status content key_expires card",
    "audit": "who role source action object address outcome",
}
_VALUES = {"payer_id": "P1", "amount": 1, "status": "booked", "role": "view", "source": "rest"}
_VALUES |= {"outcome": "done"}


def add_rows(library: Library, count: int, first: int = 0) -> None:
    """So many decisions, payments and entries of the audit log, one of each in a minute."""
    with library.own_connection() as connection:
        connection.execute("BEGIN")
        for table, columns in _TABLES.items():
            rest = columns.split()
            values = [_VALUES.get(column, "x") for column in rest]
            rows = [(f"{n:05}", stamp(n), *values) for n in range(first, first + count)]
            connection.add_rows(table, (*_TIMES, *rest), rows)
        connection.execute("COMMIT")


def at(minutes: int) -> datetime:
    return NOW + minutes * MINUTE


def stamp(minutes: int) -> str:
    return at(minutes).isoformat(timespec="microseconds")


def place(minutes: int) -> tuple[datetime, str]:
    """That of the row of `add_rows` which was added at that minute."""
    return at(minutes), f"{minutes:05}"


Look = Callable[[Connection], Iterable[Any]]
PAGES: dict[str, tuple[str, Look]] = {
    "the newest of the door log": ("access_log_time", lambda it: access_rows(it, limit=5)),
    "before one of the door log": (
        "access_log_time",
        lambda it: access_rows(it, until=at(10_000), before=place(20), limit=5),
    ),
    "the oldest payments": ("payment_time", lambda it: payments(it, limit=5)),
    "after a payment": (
        "payment_time",
        lambda it: payments(it, since=at(0), after=place(20), limit=5),
    ),
    "the oldest of the audit log": ("audit_time", lambda it: entries(it, limit=5)),
    "after one of the audit log": (
        "audit_time",
        lambda it: entries(it, since=at(0), after=place(20), limit=5),
    ),
}
UNSURE: tuple[Look, ...] = (
    unknown.unknown_attempts,
    lambda it: unknown.reconciliations(it, (), NOW),
    lambda it: shares.reconciliations(it, NOW),
)
whichever = pytest.mark.parametrize("page", PAGES)


def bks(found: Iterable[Payment]) -> list[str]:
    return [one.bk for one in found]


class PagesContract:
    """What a page has in it, in both stores."""

    @whichever
    def test_a_page_has_as_many_as_it_says(self, library: Library, page: str) -> None:
        add_rows(library, 30)
        with library.snapshot() as connection:
            assert len(list(PAGES[page][1](connection))) == 5

    def test_payments_after_another_follow_each_other(self, library: Library) -> None:
        """Those of one moment are told apart by their ids."""
        add_rows(library, 3)
        with library.own_connection() as connection:
            connection.execute("UPDATE payment SET time = ? WHERE id = ?", (stamp(0), "00001"))
        whole = [one.id for one in library.payments()]
        assert whole == ["00000", "00001", "00002"]
        after = None
        for expected in whole:
            (one,) = library.payments(limit=1, after=after)
            assert one.id == expected
            after = one.time, one.id
        assert list(library.payments(limit=1, after=after)) == []

    def test_a_page_of_payments_has_all_their_lines(self, library: Library, paid: None) -> None:
        """A limit is one of payments, and not of the rows that tell of them."""
        both, family = library.payments(limit=2)
        assert [line.fee_id for line in both.lines] == ["F1", "F2"]
        assert [line.fee_id for line in family.lines] == ["F3"]
        assert list(library.payments(limit=1)) == [both]

    @pytest.mark.parametrize(
        ("patron", "expected"),
        [("P1", ["both", "family"]), ("P2", ["family"]), ("P3", []), ("P8", ["up"]), ("P9", [])],
    )
    def test_payments_are_those_that_a_patron_made_or_owed(
        self, library: Library, paid: None, patron: str, expected: list[str]
    ) -> None:
        """P9 has a share that was not booked."""
        assert bks(library.payments(patron=patron)) == expected
        assert bks(library.payments(patron=patron, limit=1)) == expected[:1]

    async def test_payments_of_a_former_record_are_found(
        self, library: Library, paid: None
    ) -> None:
        await library.merge_patrons("P2", "P3", Deed(user="eva", reason="twice", time=NOW))
        assert bks(library.payments(patron="P3")) == ["family"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({}, ["early", "late"]),
            ({"patron": "P1"}, ["early"]),
            ({"patron": "P3"}, ["late"]),
            ({"after": (NOW, "A1")}, ["late"]),
            ({"after": (NOW, "A0")}, ["early", "late"]),
            ({"limit": 1}, ["early", "late"]),
        ],
    )
    def test_what_is_only_in_the_spool_is_listed_by_the_same_filters(
        self,
        library: Library,
        monkeypatch: pytest.MonkeyPatch,
        wanted: dict[str, Any],
        expected: list[str],
    ) -> None:
        spooled: list[UnknownAttempt] = [
            unknown.attempt_of(order("early", id="A1")),
            unknown.attempt_of(order("late", id="A2", now=at(1), payer_id="P3")),
        ]
        monkeypatch.setattr(library, "spooled", lambda: spooled)
        assert bks(library.payments(**wanted)) == expected

    def test_the_audit_log_goes_on_after_an_entry(self, library: Library) -> None:
        add_rows(library, 4)

        def ids(**wanted: Any) -> list[str]:
            return [one.id for one in library.audit_entries(**wanted)]

        assert ids(limit=3) == ["00000", "00001", "00002"]
        assert ids(after=place(1)) == ["00002", "00003"]
        assert ids(after=(at(1), "00000"), limit=1) == ["00001"]
        assert ids(after=place(0), until=at(2)) == ["00001"]

    @pytest.fixture
    async def paid(self, library: Library) -> None:
        """P1 has paid two fees at once, then one of P2; then a payment for P8 and P9 went up, and
        only that for P8 was booked."""
        both = PaymentLine("F1", "P1", "own", 100), PaymentLine("F2", "P1", "own", 20)
        await library.book_payment(
            decided_by(order("both", 120), lambda facts: PaymentPlan(both, 0))
        )
        family = order("family", 50, now=at(1))
        await library.book_payment(decided_by(family, pay_fee("F3", 50, "head_of_family")))
        plan = Share("P8", "C8", "other", 30), Share("P9", "C9", "other", 20)
        owed = {"P8": Debts(30, ()), "P9": Debts(20, ())}
        going_up = order("up", 50, payer_id="P7", now=at(2))
        begun = await library.begin_shares(going_up, "default", plan, (), owed)
        assert isinstance(begun, Begun)
        for position in (0, 1):
            booked = position == 0
            await library.end_share(begun.payment_id, position, booked=booked, now=at(2))


class TestSqlite(PagesContract):
    """The embedded store."""

    @pytest.fixture
    def library(self, store: Store) -> Library:
        return store

    @whichever
    def test_a_page_takes_no_longer_in_a_longer_list(self, store: Store, page: str) -> None:
        _, look = PAGES[page]
        add_rows(store, 30)
        of_few = steps(store, look)
        add_rows(store, 600, first=30)
        assert steps(store, look) == of_few

    @pytest.mark.parametrize("look", UNSURE)
    def test_what_is_not_sure_is_found_without_a_look_at_all_payments(
        self, store: Store, look: Look
    ) -> None:
        of_none = steps(store, look)
        add_rows(store, 10)
        assert steps(store, look) == of_none


def steps(store: Store, look: Look) -> int:
    """How many steps SQLite's machine takes for it."""
    count = 0

    def one() -> None:
        nonlocal count
        count += 1

    with store.snapshot() as connection:
        list(look(connection))  # so that the statement is compiled
        connection.set_progress_handler(one, 1)
        list(look(connection))
        connection.set_progress_handler(None, 1)
    return count


class TestPostgres(PagesContract):
    """The shared store."""

    @pytest.fixture
    def library(self, postgres_store: PostgresStore) -> Library:
        return postgres_store

    @whichever
    def test_a_page_begins_in_the_index_and_is_in_its_order(
        self, postgres_store: PostgresStore, page: str
    ) -> None:
        """However few rows there are: reading all and sorting them is made expensive."""
        index, look = PAGES[page]
        with postgres_store.own_connection() as connection:
            for way in ("seqscan", "bitmapscan", "sort"):
                connection.execute(f"SET enable_{way} = off")
            plan = planned(connection, look)
        table = index.removesuffix("_time")
        assert f"using {index} on {table}" in plan
        assert f"Sort Key: {table}" not in plan
        begins = "ROW(" in plan.partition(f"using {index}")[2].partition("Index Cond")[2]
        assert begins == (page.split()[0] in ("before", "after"))


def planned(connection: Any, look: Look) -> str:
    """How PostgreSQL would carry out the statement of `look`."""
    asked: list[tuple[Any, ...]] = []

    class Watched:
        def execute(self, statement: str, values: Any = ()) -> Any:
            asked.append((statement, values))
            return connection.execute(statement, values)

    list(look(Watched()))  # type: ignore[arg-type]
    ((statement, values),) = asked
    rows = connection.execute(f"EXPLAIN (COSTS OFF) {statement}", values).fetchall()
    return "\n".join(row[0] for row in rows)
