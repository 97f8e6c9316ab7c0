"""Import files become staged rows; every error names its file and line (C52)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Any

import msgspec
from msgspec import Struct

from sip2gw.backend.loading import staging
from sip2gw.backend.loading.format import (
    AnyLine,
    BadgeEntry,
    BadgeLine,
    FeeLine,
    HoldLine,
    ItemLine,
    LineError,
    LoanLine,
    MembershipLine,
    PatronLine,
    PinSecretLine,
    RelationshipLine,
    Take,
)
from sip2gw.backend.loading.memberships import definition_of_line, read_amount
from sip2gw.backend.loading.staging import Stage
from sip2gw.backend.sql.members.memberships import Definition, row_of
from sip2gw.backend.sql.records import relationship_row
from sip2gw.backend.sql.values import date_text, list_text, time_text
from sip2gw.foundation.foreign_hashes import is_foreign_hash, origin_of
from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX, is_password_hash
from sip2gw.model import (
    CardState,
    Minor,
    Relationship,
    RelationshipType,
    parse_amount,
)
from sip2gw.policy.members.definitions import definition_problems
from sip2gw.policy.moments import read_day, read_end, read_start
from sip2gw.policy.relationships import form_problems

ERRORS_MAX = 100


class TooManyErrorsError(Exception):
    """Enough errors were found to refuse the import."""


@dataclass
class Findings:
    """Errors and warnings, by line. Lines are numbered through all files (`src`)."""

    errors: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def begin_file(self, name: str, start: int) -> None:
        """Note that the lines from `start` + 1 on belong to the file `name`."""
        self._names.append(name)
        self._starts.append(start)

    def error(self, src: int, message: str) -> None:
        """Note an error.

        Raises:
            TooManyErrorsError: `ERRORS_MAX` have been noted.
        """
        self.errors.append((src, message))
        if len(self.errors) >= ERRORS_MAX:
            raise TooManyErrorsError

    def warning(self, src: int, message: str) -> None:
        """Note something odd that is loaded anyway (C3)."""
        self.warnings.append((src, f"warning: {message}"))

    def place(self, src: int) -> str:
        """`FILE:LINE` of a line."""
        index = bisect_right(self._starts, src - 1) - 1
        return f"{self._names[index]}:{src - self._starts[index]}"

    def texts(self, found: list[tuple[int, str]]) -> tuple[str, ...]:
        """One line of text for each, in the order of the files."""
        return tuple(f"{self.place(src)}: {message}" for src, message in sorted(found))


class Rules(Struct, frozen=True):
    """The institution's settings for an import."""

    currency: str
    zone: tzinfo
    relationship_types: frozenset[RelationshipType]


def read_definition(line: MembershipLine, currency: str) -> Definition:
    """The definition that `line` says.

    Raises:
        LineError: an amount is wrong.
    """
    try:
        return definition_of_line(line, currency)
    except ValueError as error:
        raise LineError(str(error)) from None


class RecordReader:
    """Turns decoded lines into staged rows.

    `seen` maps each kind to the keys of its lines; `linked` has the memberships that a list names,
    with the line; `pins` holds the clear PINs until they are hashed and never reaches a table.
    """

    def __init__(self, stage: Stage, rules: Rules, findings: Findings) -> None:
        self._stage = stage
        self._rules = rules
        self._findings = findings
        self.seen: dict[str, dict[Any, int]] = {}
        self.pins: list[tuple[str, str]] = []
        self.linked: list[tuple[int, str]] = []
        self.has_pin_hashes = False
        self.fingerprints: list[tuple[int, str]] = []
        self.counts: Counter[str] = Counter()
        self._readers: dict[type[Any], Callable[[Any, int], None]] = {
            MembershipLine: self._membership,
            BadgeLine: self._badge,
            PatronLine: self._patron,
            RelationshipLine: self._relationship,
            ItemLine: self._item,
            LoanLine: self._loan,
            HoldLine: self._hold,
            FeeLine: self._fee,
            PinSecretLine: self._pin_secret,
        }

    def read(self, src: int, take: Take, named: Callable[[str], str] = str) -> None:
        """Stage the record that `take` gives, or note why it cannot be staged.

        `named` says a message about a key in the words of the file.
        """
        try:
            record = take()
            if record is not None:
                self._readers[type(record)](record, src)
                self.counts[str(record.__struct_config__.tag)] += 1
        except LineError as error:
            self._findings.error(src, named(str(error)))

    def _claim(self, kind: str, key: Any, shown: str, src: int) -> None:
        """Refuse the same key twice in one import, naming both lines (C16)."""
        first = self.seen.setdefault(kind, {}).setdefault(key, src)
        if first != src:
            raise LineError(f"{kind} {shown} is already in {self._findings.place(first)}")

    # Values

    def _money(self, name: str, text: str) -> Minor:
        try:
            return read_amount(name, text, self._rules.currency)
        except ValueError as error:
            raise LineError(str(error)) from None

    def _signed(self, name: str, text: str) -> Minor:
        """An amount that may be negative, as that of a credit (B98)."""
        try:
            return parse_amount(text, self._rules.currency)
        except ValueError as error:
            raise LineError(f"`{name}`: {error}") from None

    def _money_if(self, name: str, text: str | None) -> Minor | None:
        return None if text is None else self._money(name, text)

    def _time(self, name: str, text: str, read: Callable[[str, tzinfo], datetime]) -> str:
        try:
            return time_text(read(text, self._rules.zone))
        except (ValueError, OverflowError) as error:
            raise LineError(f"`{name}`: {error}") from None

    def _day_if(self, name: str, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            day: date = read_day(text, self._rules.zone)
        except (ValueError, OverflowError) as error:
            raise LineError(f"`{name}`: {error}") from None
        return date_text(day)

    # Kinds

    def _membership(self, line: MembershipLine, src: int) -> None:
        self._claim("membership", line.code, line.code, src)
        definition = read_definition(line, self._rules.currency)
        for problem in definition_problems(definition):
            self._findings.error(src, problem)
        self.linked += ((src, code) for code in definition.linked_memberships)
        self._stage.add(staging.MEMBERSHIP, (*row_of(definition), src))

    def _badge(self, line: BadgeLine, src: int) -> None:
        self._claim("badge", line.code, line.code, src)
        first, last = self._day_if("from", line.from_), self._day_if("until", line.until)
        if first and last and last < first:
            raise LineError("`until`: must not be before `from`")
        branches = list_text(line.branches)
        changed = {"branches": branches, "valid_from": first, "valid_until": last}
        self._stage.add(staging.BADGE, _row(staging.BADGE, line, changed, src))

    def _patron(self, line: PatronLine, src: int) -> None:
        self._claim("patron", line.id, line.id, src)
        self._take_pin(line)
        changed = {
            "pin_origin": _origin(line.pin_hash),
            "birth_date": date_text(line.birth_date),
            "membership_code": line.membership,
            "membership_from": date_text(line.membership_from),
            "membership_until": date_text(line.membership_until),
            "notices": list_text(line.notices),
            "house_rules_accepted": date_text(line.house_rules_accepted),
            "fee_limit": self._money_if("fee_limit", line.fee_limit),
            "badges_given": int(line.badges is not msgspec.UNSET),
        }
        self._stage.add(staging.PATRON, _row(staging.PATRON, line, changed, src))
        self._cards(line, src)
        self._badges(line, src)
        self._blocks(line, src)

    def _take_pin(self, line: PatronLine) -> None:
        if line.pin_hash is not None:
            if line.pin is not None:
                raise LineError("give `pin` or `pin_hash`, not both")
            if is_password_hash(line.pin_hash):
                self.has_pin_hashes = True
            elif not is_foreign_hash(line.pin_hash):
                raise LineError(
                    "`pin_hash`: must be one that `export` wrote (argon2id), or a bcrypt hash"
                    " ($2a$, $2b$ or $2y$) with a cost of 04 to 14"
                )
        if line.pin is not None:
            if not 0 < len(line.pin) <= PIN_CHARACTERS_MAX:
                raise LineError(f"`pin`: must have 1 to {PIN_CHARACTERS_MAX} characters")
            self.pins.append((line.id, line.pin))

    def _cards(self, line: PatronLine, src: int) -> None:
        """The cards of a patron; `id` itself is an active card unless the list gives it another
        state (C35).
        """
        states: dict[str, str] = {}
        for card in line.cards:
            if card.number in states:
                raise LineError(f"card {card.number} is listed twice")
            states[card.number] = card.state.value
        states.setdefault(line.id, CardState.ACTIVE.value)
        for number, state in states.items():
            self._claim("card", number, number, src)
            self._stage.add(staging.CARD, (number, line.id, state, src))

    def _badges(self, line: PatronLine, src: int) -> None:
        if isinstance(line.badges, msgspec.UnsetType):
            return
        codes = set()
        for entry in line.badges:
            badge = BadgeEntry(entry) if isinstance(entry, str) else entry
            if badge.code in codes:
                raise LineError(f"badge {badge.code} is listed twice")
            codes.add(badge.code)
            valid_from = self._day_if("from", badge.from_)
            valid_until = self._day_if("until", badge.until)
            branches = list_text(badge.branches)
            self._stage.add(
                staging.BADGE_ASSIGNMENT,
                (line.id, badge.code, valid_from, valid_until, branches, src),
            )

    def _blocks(self, line: PatronLine, src: int) -> None:
        for position, block in enumerate(line.blocks):
            until = self._day_if("until", block.until)
            self._stage.add(
                staging.BLOCK,
                (line.id, "import", block.type.value, position, block.note, until, src),
            )

    def _relationship(self, line: RelationshipLine, src: int) -> None:
        key = (line.type.value, line.from_, line.to)
        self._claim("relationship", key, " ".join(key), src)
        relation = Relationship(
            line.type,
            line.from_,
            line.to,
            frozenset(line.functions),
            line.confirmed,
            line.proposed_by,
        )
        problem = next(form_problems(relation, frozenset(RelationshipType)), None)
        if problem is not None:
            raise LineError(problem)
        if line.type not in self._rules.relationship_types:
            self._findings.warning(
                src,
                f"relationships of type {line.type} are switched off; this one is loaded"
                " but not in force",
            )
        self._stage.add(staging.RELATIONSHIP, (*relationship_row(relation), src))

    def _item(self, line: ItemLine, src: int) -> None:
        self._claim("item", line.id, line.id, src)
        changed = {
            "checkout_fee": self._money_if("checkout_fee", line.checkout_fee),
            "overdue_fee_per_day": self._money_if("overdue_fee_per_day", line.overdue_fee_per_day),
            "overdue_fee_max": self._money_if("overdue_fee_max", line.overdue_fee_max),
            "status": line.status.value,
        }
        self._stage.add(staging.ITEM, _row(staging.ITEM, line, changed, src))

    def _loan(self, line: LoanLine, src: int) -> None:
        self._claim("loan of item", line.item, line.item, src)
        checked_out = self._time("checked_out", line.checked_out, read_start)
        due = self._time("due", line.due, read_end)
        self._stage.add(
            staging.LOAN, (line.item, line.patron, checked_out, due, line.renewals, src)
        )

    def _hold(self, line: HoldLine, src: int) -> None:
        self._claim("hold", line.id, line.id, src)
        if line.item is None and line.title_id is None:
            raise LineError("a hold needs `item` or `title_id`")
        changed = {
            "patron_id": line.patron,
            "item_id": line.item,
            "placed": self._time("placed", line.placed, read_start),
            "expires": line.expires and self._time("expires", line.expires, read_end),
        }
        self._stage.add(staging.HOLD, _row(staging.HOLD, line, changed, src))

    def _fee(self, line: FeeLine, src: int) -> None:
        self._claim("fee", line.id, line.id, src)
        changed = {
            "patron_id": line.patron,
            "amount": self._signed("amount", line.amount),
            "created": self._time("created", line.created, read_start),
            "item_id": line.item,
            "status": line.status.value,
            "arrangement_date": date_text(line.arrangement_date),
            "paid": self._signed("paid", line.paid or "0"),
        }
        self._stage.add(staging.FEE, _row(staging.FEE, line, changed, src))

    def _pin_secret(self, line: PinSecretLine, src: int) -> None:
        self.fingerprints.append((src, line.fingerprint))


def _row(
    table: staging.Staged, line: AnyLine, changed: dict[str, Any], src: int
) -> tuple[Any, ...]:
    """The staged row of `line`: its own value for each column, unless it is in `changed`."""
    own = (*table.columns, *table.beside)
    return (
        *(changed[name] if name in changed else _plain(getattr(line, name)) for name in own),
        src,
    )


def _origin(pin_hash: str | None) -> str | None:
    return origin_of(pin_hash) if pin_hash and is_foreign_hash(pin_hash) else None


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
