"""`/support/tables`: codes, processing rules and default messages (B64, C163, C164)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.backend.base import NotFoundError
from sip2gw.model.support import PREFERRED_DAYS_MAX, CodeTable
from sip2gw.staff.support import (
    EntryJson,
    RuleJson,
    columns_of,
    entry_json,
    put_entry,
    put_rule,
    rule_json,
)
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.naming import Words
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.problems import FieldProblem, ProblemError
from sip2gw.web.api.resource import Asks, Resources
from sip2gw.web.api.resources.desk.support import CODE_CHARACTERS_MAX, Code

resources = Resources("support tables")

PathCode = Annotated[str, Path(max_length=CODE_CHARACTERS_MAX, description="Code of the row.")]
Days = Annotated[int | None, Field(ge=0, le=PREFERRED_DAYS_MAX, description="Opening days.")]


class EntryChanges(BaseModel):
    """What a row of a table of codes is to say; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[Words, Field(examples=["Money"])] = ""
    department: Annotated[Code | None, Field(description="Of a unit.")] = None
    text: Annotated[Words | None, Field(description="Of a default message.")] = None


class NewEntry(EntryChanges):
    """A row of a table of codes."""

    code: Annotated[Code, Field(examples=["LOAN"])]


class RuleChanges(BaseModel):
    """How messages are handled; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    response_days: Days = None
    processing_days: Days = None
    group: Annotated[Code | None, Field(description="Code of a department.")] = None
    unit: Annotated[Code | None, Field(description="Code of a unit.")] = None
    processor: Words = ""
    reporter: Words = ""


class NewRule(RuleChanges):
    """A processing rule."""

    type: Annotated[Code, Field(examples=["QU"])]
    category: Annotated[Code, Field(examples=["LOAN"])]


# The first path that fits counts: processing rules are before the tables of codes.


@resources.get("/support/tables/processing", "support table list")
def list_rules(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[RuleJson]:
    """List the processing rules, by type and category."""
    found = sorted(asked.store.support_rules(), key=lambda one: (one.type, one.category))
    return page(found, limit, cursor, key=lambda one: (one.type, one.category), told=rule_json)


@resources.post("/support/tables/processing", "support table add", status=201)
def add_rule(asked: Asks, new: NewRule) -> RuleJson:
    """Add a processing rule: who handles messages of a type and category, within which days."""
    fields = new.model_dump(exclude={"type", "category"})
    asked.run(put_rule(asked.store, "add", new.type, new.category, fields))
    return _rule(asked, new.type, new.category)


@resources.patch("/support/tables/processing/{type}/{category}", "support table change")
def change_rule(asked: Asks, type: PathCode, category: PathCode, changes: RuleChanges) -> RuleJson:
    """Change a processing rule. It counts for new and reopened messages."""
    asked.run(put_rule(asked.store, "change", type, category, _given(changes)))
    return _rule(asked, type, category)


@resources.get("/support/tables/{table}", "support table list")
def list_entries(
    asked: Asks, table: CodeTable, limit: Limit = 1_000, cursor: Cursor = None
) -> Page[EntryJson]:
    """List the rows of a table of codes, by code."""
    return page(
        sorted(asked.store.support_entries(table), key=lambda one: one.code),
        limit,
        cursor,
        key=lambda one: (one.code,),
        told=lambda one: entry_json(table, one),
    )


@resources.post("/support/tables/{table}", "support table add", status=201)
def add_entry(asked: Asks, table: CodeTable, new: NewEntry) -> EntryJson:
    """Add a row to a table of codes.

    The code of a type has 2 letters, of a category, a unit and a default message up to 4
    characters, of a department up to 7.
    """
    fields = _of_table(table, new.model_dump(exclude={"code"}, exclude_unset=True))
    asked.run(put_entry(asked.store, "add", table, new.code, fields))
    return _entry(asked, table, new.code)


@resources.patch("/support/tables/{table}/{code}", "support table change")
def change_entry(asked: Asks, table: CodeTable, code: PathCode, changes: EntryChanges) -> EntryJson:
    """Change a row of a table of codes."""
    fields = _of_table(table, _given(changes))
    asked.run(put_entry(asked.store, "change", table, code, fields))
    return _entry(asked, table, code)


def _given(changes: BaseModel) -> dict[str, Any]:
    """The keys that were sent.

    Raises:
        ProblemError: there are none.
    """
    fields = changes.model_dump(exclude_unset=True)
    if not fields:
        raise ProblemError(422, "say what to change")
    return fields


def _of_table(table: CodeTable, fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`, if a row of `table` has them.

    Raises:
        ProblemError: it has not.
    """
    known = columns_of(table)
    if surplus := sorted(fields.keys() - set(known)):
        where: list[FieldProblem] = [
            {"where": f"body.{key}", "problem": "unknown here"} for key in surplus
        ]
        raise ProblemError(422, f"a row of {table} has {', '.join(known)}", problems=where)
    return fields


def _entry(asked: Asked, table: CodeTable, code: str) -> EntryJson:
    for entry in asked.store.support_entries(table):
        if entry.code == code:
            return entry_json(table, entry)
    raise NotFoundError(f"there is no {table} {code}")


def _rule(asked: Asked, type_code: str, category: str) -> RuleJson:
    for rule in asked.store.support_rules():
        if (rule.type, rule.category) == (type_code, category):
            return rule_json(rule)
    raise NotFoundError(f"there is no processing rule for {type_code} {category}")
