"""What a complete import does with the records that its files no longer have (B92, C166).

One row for each kind. Some are staged with another value, as if the files had them so; others go
with the rows that a record no longer has. A patron is ended: status 9 lets nobody in and lends
nothing, and the record stays for as long as `privacy.ended_patron_days` says, so that the next
import can bring the patron back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from msgspec import Struct

from sip2gw.backend.database import Connection
from sip2gw.backend.loading import staging
from sip2gw.backend.loading.staging import Staged
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.stubs import LIVING, OURS


class Missing(Struct, frozen=True):
    """What becomes of a record that is missing."""

    table: Staged
    became: str
    """In the report: what it is now."""
    only: str = "1 = 1"
    """Of the rows `t` of the table, which are meant: those that are not so already."""
    changed: Mapping[str, str] | None = None
    """The values that change, as SQL over `t`; None: the row is removed."""


_OWED = """(SELECT COALESCE(SUM(e.amount), 0) FROM ledger_entry e WHERE e.fee_id = t.id)"""

MISSING: Mapping[str, Missing] = {
    "membership": Missing(staging.MEMBERSHIP, "hidden", "t.hidden = 0", {"hidden": "1"}),
    "badge": Missing(staging.BADGE, "deactivated", "t.active = 1", {"active": "0"}),
    "relationship": Missing(staging.RELATIONSHIP, "removed"),
    "item": Missing(
        staging.ITEM,
        "missing and not for loan",
        "t.for_loan = 1 OR t.status <> 'missing'",
        {"for_loan": "0", "status": "'missing'"},
    ),
    "loan": Missing(staging.LOAN, "ended"),
    "hold": Missing(staging.HOLD, "removed"),
    "fee": Missing(
        staging.FEE,
        "settled",
        fill(
            "{owed} <> 0 AND EXISTS (SELECT 1 FROM patron p WHERE p.id = t.patron_id AND {living})",
            owed=_OWED,
            living=LIVING,
        ),
        {"amount": f"t.amount - {_OWED}", "paid": "0"},
    ),
}
"""All kinds but `patron`. A fee that the library no longer has is settled: an adjustment makes its
amount what was paid of it."""

KINDS = ("patron", *MISSING)
"""What `--complete` may name."""

_ABSENT = """FROM {table} t WHERE ({only})
      AND NOT EXISTS (SELECT 1 FROM stage_{table} s WHERE {same_key})"""
_COUNT = f"SELECT COUNT(*) {_ABSENT}"
_STAGE = f"""
    INSERT INTO stage_{{table}} ({{columns}})
    SELECT {{values}}, ? + ROW_NUMBER() OVER (ORDER BY {{key}}) {_ABSENT}"""
_GONE = f"SELECT {{key}} {_ABSENT}"
_PATRONS = fill(
    """FROM patron p WHERE {ours} AND p.ended_on IS NULL
      AND NOT EXISTS (SELECT 1 FROM stage_patron s WHERE s.id = p.id)""",
    ours=OURS,
)
_COUNT_PATRONS = f"SELECT COUNT(*) {_PATRONS}"
_FIND_PATRONS = f"CREATE TEMP TABLE gone_patron AS SELECT p.id AS id {_PATRONS}"
END_PATRONS = """
    UPDATE patron SET status = 9, ended_on = ? WHERE id IN (SELECT id FROM gone_patron)"""


class Completion:
    """The kinds of which the files of one import have everything."""

    def __init__(self, connection: Connection, kinds: Collection[str], today: date) -> None:
        self._connection = connection
        self._kinds = tuple(kind for kind in KINDS if kind in kinds)
        self._today = today
        self.counts: dict[str, int] = {}
        """How many records of each kind are missing; only those that are not so already."""

    @property
    def ends_patrons(self) -> bool:
        """Whether patrons are missing."""
        return self.counts.get("patron", 0) > 0

    def stage(self, lines: int) -> None:
        """Stage the missing records with what changes in them, after so many `lines`.

        Staged ones are not missing any more, so do it once.
        """
        for kind in self._kinds:
            if kind == "patron":
                continue
            missing = MISSING[kind]
            (count,) = self._connection.execute(_filled(_COUNT, missing)).fetchone()
            self.counts[kind] = int(count)
            if missing.changed is not None and count:
                self._connection.execute(_staging(missing), (lines,))
                lines += int(count)

    def find_patrons(self) -> None:
        """Note whom `end_patrons` ends."""
        self._connection.execute("DROP TABLE IF EXISTS gone_patron")
        if "patron" in self._kinds:
            (count,) = self._connection.execute(_COUNT_PATRONS).fetchone()
            self.counts["patron"] = int(count)
            self._connection.execute(_FIND_PATRONS)

    def gone(self, table: str) -> str | None:
        """A statement for the keys of the rows of `table` that are to be removed, if any are."""
        missing = MISSING.get(table)
        if missing is None or missing.changed is not None or table not in self._kinds:
            return None
        return _filled(_GONE, missing)

    def end_patrons(self) -> int:
        """End those who were found; returns how many."""
        if not self.ends_patrons:
            return 0
        return self._connection.execute(END_PATRONS, (self._today.isoformat(),)).rowcount


def told(counts: Mapping[str, int]) -> dict[str, str]:
    """What became of the missing records of each kind."""
    became = {kind: missing.became for kind, missing in MISSING.items()} | {"patron": "ended"}
    return {kind: became[kind] for kind in counts}


def _staging(missing: Missing) -> str:
    table, changed = missing.table, missing.changed or {}
    columns = (*table.columns, *table.beside)
    return _filled(
        _STAGE,
        missing,
        columns=", ".join(table.all_columns),
        values=", ".join(changed.get(name, f"t.{name}") for name in columns),
    )


def _filled(statement: str, missing: Missing, **names: str) -> str:
    table = missing.table
    return fill(
        statement,
        table=table.name,
        only=missing.only,
        same_key=" AND ".join(f"s.{name} = t.{name}" for name in table.key),
        key=", ".join(f"t.{name}" for name in table.key),
        **names,
    )
