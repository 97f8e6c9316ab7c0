"""Customer support: messages, their tables, and whose opening days count (B64, C145, C164)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired

from typing_extensions import TypedDict

from sip2gw.model.support import CodeTable
from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.support import (
        CodeEntry,
        ProcessingRule,
        SupportEvent,
        SupportMessage,
    )
    from sip2gw.policy.desk.support import OpeningDays

Change = Literal["add", "change"]

_ID_DIGITS_MAX = 15

_RULE_KEYS = (
    *("type", "category", "response_days", "processing_days", "group", "unit", "processor"),
    "reporter",
)
_ENTRY_KEYS: Mapping[CodeTable, tuple[str, ...]] = {
    CodeTable.UNIT: ("department",),
    CodeTable.DEFAULT_MESSAGE: ("text",),
}


def opening_days(config: Config) -> OpeningDays:
    """The days that count for due dates (C163)."""
    from sip2gw.policy.desk.support import OpeningDays

    calendars = {code: branch.calendar for code, branch in config.branches.items()}
    return OpeningDays(calendars, config.zone)


def branches_of_terminals(config: Config) -> dict[str, str]:
    """The branch of each terminal that has one, by the terminal's name."""
    return {
        terminal.name: terminal.branch.code
        for terminal in config.terminals.values()
        if terminal.branch is not None
    }


async def follow_up(store: Library, config: Config, now: datetime) -> int:
    """Open messages for what the store knows and a person must follow up; how many (C145).

    Nothing is opened where the library has switched that off.

    Raises:
        BackendError: some of it has no message yet.
    """
    import asyncio

    if not config.support.enabled:
        return 0
    days = opening_days(config)
    new = await store.follow_up(branches_of_terminals(config), now, days)
    doors = await asyncio.to_thread(store.refusing_doors, now)
    return new + (await store.tell_refusing_doors(doors, now, days) if doors else 0)


def read_message_id(text: str) -> int:
    """The id that staff have typed.

    Raises:
        NotFoundError: no message can have it.
    """
    from sip2gw.backend.base import NotFoundError

    if text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX:
        return int(text)
    raise NotFoundError(f"no message has the id {text}; see `support list`")


class MessageJson(TypedDict):
    """A message of customer support, as it is listed (C21, C164)."""

    id: str
    type: str
    status: str
    """A open, B sent, C waiting for the customer, D waiting for the library, X closed by the
    library, Y closed by the reporter, Z closed."""
    text: str
    created: str
    category: str
    department: str | None
    unit: str | None
    due: str | None
    count: int
    patron: Person


SupportEventJson = TypedDict(
    "SupportEventJson",
    {
        "time": str,
        "user": str,
        "kind": str,
        "from": str | None,
        "to": str,
        "note": str,
    },
)
"""One step in the history of a message."""


class FullMessageJson(MessageJson):
    """A message with its history."""

    repeated: str | None
    branch: str | None
    processor: str
    reporter: str
    closed: str | None
    history: list[SupportEventJson]


class EntryJson(TypedDict):
    """A row of a table of codes."""

    code: str
    description: str
    department: NotRequired[str | None]
    """Of a unit."""
    text: NotRequired[str | None]
    """Of a default message."""


class RuleJson(TypedDict):
    """A processing rule (C164)."""

    type: str
    category: str
    response_days: int | None
    processing_days: int | None
    group: str | None
    unit: str | None
    processor: str
    reporter: str


def message_json(message: SupportMessage, zone: tzinfo) -> MessageJson:
    """A message with the keys of C21 and C164."""
    return {
        "id": str(message.id),
        "type": message.type,
        "status": message.status.value,
        "text": message.text,
        "created": message.created.astimezone(zone).isoformat(),
        "category": message.category,
        "department": message.department,
        "unit": message.unit,
        "due": None if message.due is None else message.due.isoformat(),
        "count": message.count,
        "patron": message.patron_id,
    }


def full_message_json(
    message: SupportMessage, history: Iterable[SupportEvent], zone: tzinfo
) -> FullMessageJson:
    """The same, with what is shown of a single message."""
    return {
        **message_json(message, zone),
        "repeated": _time(message.repeated, zone),
        "branch": message.branch,
        "processor": message.processor,
        "reporter": message.reporter,
        "closed": _time(message.closed, zone),
        "history": [_event_json(event, zone) for event in history],
    }


def _event_json(event: SupportEvent, zone: tzinfo) -> SupportEventJson:
    return {
        "time": event.time.astimezone(zone).isoformat(),
        "user": event.user or "sip2gw",
        "kind": event.kind.value,
        "from": None if event.before is None else event.before.value,
        "to": event.after.value,
        "note": event.note,
    }


def _time(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat()


def entry_json(table: CodeTable, entry: CodeEntry) -> EntryJson:
    """A row of a table of codes."""
    told: EntryJson = {"code": entry.code, "description": entry.description}
    if table is CodeTable.UNIT:
        told["department"] = entry.department
    elif table is CodeTable.DEFAULT_MESSAGE:
        told["text"] = entry.text
    return told


def rule_json(rule: ProcessingRule) -> RuleJson:
    """A processing rule with the keys of C164, and the unit."""
    return {
        "type": rule.type,
        "category": rule.category,
        "response_days": rule.response_days,
        "processing_days": rule.processing_days,
        "group": rule.group,
        "unit": rule.unit,
        "processor": rule.processor,
        "reporter": rule.reporter,
    }


def columns_of(table: CodeTable | None) -> tuple[str, ...]:
    """The keys of a row of `table`; None is `processing`."""
    if table is None:
        return _RULE_KEYS
    return "code", "description", *_ENTRY_KEYS.get(table, ())


def table_rows(store: Library, table: CodeTable | None) -> Sequence[Mapping[str, Any]]:
    """The rows of a table; None is `processing`."""
    if table is None:
        return [rule_json(rule) for rule in store.support_rules()]
    return [entry_json(table, entry) for entry in store.support_entries(table)]


def settings_of(
    table: CodeTable | None, settings: Iterable[str], description: str | None = None
) -> dict[str, Any]:
    """What `--set KEY=VALUE` and `--description` say, as fields of a row of `table`.

    An empty value takes a limit, a group or a unit away.

    Raises:
        ValueError: a key is unknown or given twice, or a number is none; the text says which.
    """
    allowed = _RULE_KEYS if table is None else _ENTRY_KEYS.get(table, ())
    fields: dict[str, Any] = {} if description is None else {"description": description}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key not in allowed:
            known = " ".join(allowed) or "none; use --description"
            raise ValueError(f"--set {setting}: not KEY=VALUE with a known key; known: {known}")
        if key in fields:
            raise ValueError(f"--set {key} is given twice")
        fields[key] = _value(key, value)
    return fields


def _value(key: str, value: str) -> Any:
    if key in ("group", "unit", "department"):
        return value or None
    if not key.endswith("_days"):
        return value
    if value and not (value.isascii() and value.isdigit() and len(value) <= _ID_DIGITS_MAX):
        raise ValueError(f"--set {key}={value}: not a whole number of days")
    return int(value) if value else None


async def put_entry(
    store: Library, how: Change, table: CodeTable, code: str, fields: dict[str, Any]
) -> None:
    """Add or change a row of a table of codes.

    Raises:
        RefusedError: the library's rules forbid it; the text says why.
    """
    from sip2gw.model.support import CodeEntry

    if how == "change":
        await store.change_support_entry(table, code, fields)
        return
    await store.add_support_entry(table, CodeEntry(code, **({"description": ""} | fields)))


async def put_rule(
    store: Library, how: Change, type_code: str, category: str, fields: dict[str, Any]
) -> None:
    """Add or change the processing rule of a type and category.

    Raises:
        RefusedError: the library's rules forbid it; the text says why.
    """
    from sip2gw.model.support import ProcessingRule

    if how == "change":
        await store.change_support_rule(type_code, category, fields)
        return
    await store.add_support_rule(ProcessingRule(type_code, category, **fields))
