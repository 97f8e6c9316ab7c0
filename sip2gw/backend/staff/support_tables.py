"""The tables of customer support: codes and processing rules, in the caller's transaction (B64)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.model.support import CodeEntry, CodeTable, ProcessingRule
from sip2gw.policy.desk.support import entry_problem, rule_problem

_ENTRIES: dict[CodeTable, str] = {
    CodeTable.TYPE: "SELECT code, description FROM support_type",
    CodeTable.CATEGORY: "SELECT code, description FROM support_category",
    CodeTable.DEPARTMENT: "SELECT code, description FROM support_department",
    CodeTable.UNIT: "SELECT code, description, department FROM support_unit",
    CodeTable.DEFAULT_MESSAGE: "SELECT code, description, NULL, text FROM support_default_message",
}
_PUT: dict[CodeTable, str] = {
    CodeTable.TYPE: "INSERT INTO support_type (code, description) VALUES (?, ?)",
    CodeTable.CATEGORY: "INSERT INTO support_category (code, description) VALUES (?, ?)",
    CodeTable.DEPARTMENT: "INSERT INTO support_department (code, description) VALUES (?, ?)",
    CodeTable.UNIT: "INSERT INTO support_unit (code, description, department) VALUES (?, ?, ?)",
    CodeTable.DEFAULT_MESSAGE: """
        INSERT INTO support_default_message (code, description, text) VALUES (?, ?, ?)""",
}
_OR_CHANGE = " ON CONFLICT (code) DO UPDATE SET description = excluded.description"
_ALSO: dict[CodeTable, str] = {
    CodeTable.UNIT: ", department = excluded.department",
    CodeTable.DEFAULT_MESSAGE: ", text = excluded.text",
}

_RULES = """
    SELECT type, category, response_days, processing_days, department, unit, processor, reporter
    FROM support_processing ORDER BY type, category"""
_PUT_RULE = """
    INSERT INTO support_processing
        (type, category, response_days, processing_days, department, unit, processor, reporter)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (type, category) DO UPDATE
    SET response_days = excluded.response_days, processing_days = excluded.processing_days,
        department = excluded.department, unit = excluded.unit, processor = excluded.processor,
        reporter = excluded.reporter"""


def entries(connection: Connection, table: CodeTable) -> list[CodeEntry]:
    """The rows of a table of codes, by code."""
    rows = connection.execute(f"{_ENTRIES[table]} ORDER BY code").fetchall()
    return [CodeEntry(*row) for row in rows]


def rules(connection: Connection) -> list[ProcessingRule]:
    """The processing rules, by type and category."""
    return [ProcessingRule(*row) for row in connection.execute(_RULES).fetchall()]


def insist_on_code(connection: Connection, table: CodeTable, code: str) -> CodeEntry:
    """The row with this code.

    Raises:
        NotFoundError: there is none.
    """
    found = _entry(connection, table, code)
    if found is None:
        raise NotFoundError(f"there is no {_named(table)} {code}; see `support table list {table}`")
    return found


def add_entry(connection: Connection, table: CodeTable, entry: CodeEntry) -> WriteResult[None]:
    """Add a row to a table of codes.

    Raises:
        RefusedError: the code exists already, or something about the row is not allowed.
    """
    if _entry(connection, table, entry.code) is not None:
        raise RefusedError(
            f"there is a {_named(table)} {entry.code} already; use `support table change`"
        )
    _put_entry(connection, table, entry)
    return WriteResult(None)


def change_entry(
    connection: Connection, table: CodeTable, code: str, changes: dict[str, Any]
) -> WriteResult[None]:
    """Change fields of a row of a table of codes; the others stay.

    Raises:
        RefusedError: there is no such row, or something about it would not be allowed.
    """
    known = insist_on_code(connection, table, code)
    _put_entry(connection, table, replace(known, **changes))
    return WriteResult(None)


def _put_entry(connection: Connection, table: CodeTable, entry: CodeEntry) -> None:
    problem = entry_problem(table, entry)
    if problem is not None:
        raise RefusedError(problem)
    values = [entry.code, entry.description]
    if table is CodeTable.UNIT:
        _insist_on_place(connection, entry)
        values.append(entry.department or "")
    if table is CodeTable.DEFAULT_MESSAGE:
        values.append(entry.text or "")
    connection.execute(f"{_PUT[table]}{_OR_CHANGE}{_ALSO.get(table, '')}", values)


def _insist_on_place(connection: Connection, unit: CodeEntry) -> None:
    """The department of a unit exists, and no rule counts on another."""
    insist_on_code(connection, CodeTable.DEPARTMENT, unit.department or "")
    for rule in rules(connection):
        if rule.unit == unit.code and rule.group != unit.department:
            raise RefusedError(
                f"the processing rule of {rule.type} {rule.category} names unit {unit.code} of"
                f" department {rule.group}; change that rule first"
            )


def add_rule(connection: Connection, rule: ProcessingRule) -> WriteResult[None]:
    """Add a processing rule.

    Raises:
        RefusedError: its type and category have one already, or something is unknown.
    """
    if _rule(connection, rule.type, rule.category) is not None:
        raise RefusedError(
            f"there is a processing rule for {rule.type} {rule.category} already;"
            " use `support table change`"
        )
    _put_rule(connection, rule)
    return WriteResult(None)


def change_rule(
    connection: Connection, type_code: str, category: str, changes: dict[str, Any]
) -> WriteResult[None]:
    """Change fields of a processing rule; the others stay. Messages that are open stay as routed.

    Raises:
        RefusedError: there is no such rule, or something is unknown.
    """
    known = _rule(connection, type_code, category)
    if known is None:
        raise NotFoundError(
            f"there is no processing rule for {type_code} {category};"
            " see `support table list processing`"
        )
    _put_rule(connection, replace(known, **changes))
    return WriteResult(None)


def _put_rule(connection: Connection, rule: ProcessingRule) -> None:
    problem = rule_problem(rule)
    if problem is not None:
        raise RefusedError(problem)
    insist_on_code(connection, CodeTable.TYPE, rule.type)
    insist_on_code(connection, CodeTable.CATEGORY, rule.category)
    if rule.group is not None:
        insist_on_code(connection, CodeTable.DEPARTMENT, rule.group)
    if rule.unit is not None:
        unit = insist_on_code(connection, CodeTable.UNIT, rule.unit)
        if unit.department != rule.group:
            raise RefusedError(
                f"unit {unit.code} belongs to department {unit.department}, not to {rule.group}"
            )
    values = (
        *(rule.type, rule.category, rule.response_days, rule.processing_days),
        *(rule.group, rule.unit, rule.processor, rule.reporter),
    )
    connection.execute(_PUT_RULE, values)


def _entry(connection: Connection, table: CodeTable, code: str) -> CodeEntry | None:
    row = connection.execute(f"{_ENTRIES[table]} WHERE code = ?", (code,)).fetchone()
    return None if row is None else CodeEntry(*row)


def _rule(connection: Connection, type_code: str, category: str) -> ProcessingRule | None:
    known = (
        rule for rule in rules(connection) if (rule.type, rule.category) == (type_code, category)
    )
    return next(known, None)


def _named(table: CodeTable) -> str:
    return table.value.replace("_", " ")
