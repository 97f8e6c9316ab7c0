"""A lending desk in plain Python, stated anew from B56-B60, C42-C44, C69, C97: what should happen.

It shares no code with `sip2gw.policy`: a copy is a record that is changed in place, a queue is a
list. Answers are `(reason,)` for a refusal, else a dictionary of what the terminal is told.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Brussels")
DAY = timedelta(hours=24)

Answer = tuple[str] | dict[str, Any]


@dataclass
class Copy:
    """A copy, where it is, and who has it."""

    title: str
    owner: str = "MAIN"
    for_loan: bool = True
    days: int = 21
    renewals_max: int = 2
    costs: int = 0
    per_day: int = 0
    place: str = "MAIN"
    travels: bool = False
    reader: str | None = None
    taken: datetime | None = None
    due: datetime | None = None
    renewals: int = 0


@dataclass
class Wait:
    """Somebody waits: for a title, or for one copy; `set_aside` is the copy that is theirs now."""

    reader: str
    title: str | None
    only: str | None
    placed: datetime
    pickup: str | None
    expires: datetime | None
    number: int
    """Whose it is may ask twice; this tells one from the other."""
    set_aside: str | None = None
    ready: bool = False


@dataclass
class Terminal:
    """Where it stands, and what it is allowed."""

    branch: str
    renews_by_11: bool = True
    takes_anything: bool = False


@dataclass
class Last:
    """The last thing that was done with a copy, and how the copy was before."""

    terminal: str
    code: str
    reader: str | None
    until: datetime
    before: Copy | None
    wait: Wait | None = None
    """The one that it touched, and how that was before."""
    wait_before: Wait | None = None
    debt: tuple[str, int] | None = None
    key: tuple[str, str] | None = None


@dataclass
class Told:
    """A yes, and what makes it true (C97)."""

    code: str
    until: datetime
    answer: dict[str, Any]
    time: datetime
    left: Copy
    """The copy as it was left."""
    wait: Wait | None
    """As it was left: who it was set aside for; or what was placed, changed or removed."""
    lent: int
    """How often the copy had been handed out."""
    done: int
    """How much had been done with the copy."""


@dataclass
class Desk:
    """The whole library as the rules see it."""

    copies: dict[str, Copy]
    terminals: dict[str, Terminal]
    loans_max: dict[str, int]
    """By reader; 0 is no limit. Who is missing is unknown."""
    holds_max: dict[str, int]
    banned: frozenset[str]
    waits: list[Wait] = field(default_factory=list)
    debts: list[tuple[str, int]] = field(default_factory=list)
    last: dict[str, Last] = field(default_factory=dict)
    told: dict[tuple[str, str], Told] = field(default_factory=dict)
    """By copy and key."""
    lent: Counter[str] = field(default_factory=Counter)
    """How often each copy was handed out."""
    done: Counter[str] = field(default_factory=Counter)
    """How much was done with each, but for who waits."""
    waited: int = 0

    # What there is

    def has(self, reader: str) -> list[str]:
        """The copies that a reader has at home."""
        return [item for item, it in self.copies.items() if it.reader == reader]

    def queue(self, item: str, now: datetime) -> list[Wait]:
        """Who waits for this copy: who finds it on the shelf, to whom it was promised when any
        copy would have done, then who came first."""
        title = self.copies[item].title
        mine = [
            wait
            for wait in self.waits
            if (wait.expires is None or now < wait.expires)
            and (
                wait.set_aside == item
                or (wait.set_aside is None and (wait.only == item or wait.title == title))
            )
        ]

        def place(wait: Wait) -> tuple[bool, bool, datetime]:
            promised = wait.set_aside == item and wait.only is None
            return not wait.ready, not promised, wait.placed

        return sorted(mine, key=place)

    def first(self, item: str, now: datetime) -> Wait | None:
        """The first of them."""
        return next(iter(self.queue(item, now)), None)

    # What is asked

    def repeated(self, item: str, key: str, reader: str | None, now: datetime) -> Told | None:
        """What was told under this key within a day, if it is so (C97)."""
        told = self.told.get((item, key))
        if told is None or told.until <= now:
            return None
        return told if self._is_so(item, reader, told, now) else None

    def _is_so(self, item: str, reader: str | None, told: Told, now: datetime) -> bool:
        it, left = self.copies[item], told.left
        if told.code == "cancel":
            return self.done[item] == told.done
        if told.code in ("11", "29"):
            same = (it.reader, it.due) == (left.reader, left.due)
            return same and (not told.answer["renewed"] or it.renewals >= left.renewals)
        if told.code == "09":
            gone = it.reader is None and left.reader is None and self.lent[item] == told.lent
            there = (it.travels, it.place) == (left.travels, left.place)
            return gone and there and self._is_set_aside_as_told(item, told, now)
        assert told.wait is not None
        mine = self._waits_of(str(reader), item, now)
        if told.code == "15-":
            newer = any(wait.placed >= told.time for wait in mine)
            return not newer and told.wait.number not in [wait.number for wait in mine]
        terms = (told.wait.number, told.wait.pickup, told.wait.expires)
        return terms in [(wait.number, wait.pickup, wait.expires) for wait in mine]

    def _is_set_aside_as_told(self, item: str, told: Told, now: datetime) -> bool:
        first = self.first(item, now)
        if told.wait is None:
            return first is None or not first.ready
        then = (told.wait.number, told.wait.set_aside, told.wait.ready)
        return first is not None and (first.number, first.set_aside, first.ready) == then

    def _note(
        self,
        item: str,
        key: str,
        now: datetime,
        last: Last,
        answer: dict[str, Any],
        wait: Wait | None = None,
    ) -> None:
        last.key = (item, key)
        self.last[item] = last
        self.done[item] += 1
        code = last.code if last.before is not None else "cancel"
        self._tell(code, item, key, now, answer, wait)

    def _tell(
        self,
        code: str,
        item: str,
        key: str,
        now: datetime,
        answer: dict[str, Any],
        wait: Wait | None,
    ) -> None:
        left, lent, done = copy.copy(self.copies[item]), self.lent[item], self.done[item]
        told = Told(code, now + DAY, answer, now, left, copy.copy(wait), lent, done)
        self.told[item, key] = told

    def checkout(
        self,
        terminal: str,
        reader: str,
        item: str,
        now: datetime,
        key: str,
        *,
        agreed: bool,
        happened: datetime | None,
    ) -> Answer:
        """An 11; `happened` is when, if it did so off line."""
        if reader not in self.loans_max:
            return ("unknown_card",)
        if item not in self.copies:
            return ("unknown_item",)
        it, offline = self.copies[item], happened is not None
        if it.reader == reader:
            if not self.terminals[terminal].renews_by_11 and not offline:
                return ("already_charged",)
            return self._extend(terminal, "11", item, now, key, agreed, happened)
        first = self.first(item, now)
        if not offline:
            if not it.for_loan:
                return ("not_for_loan",)
            if first is not None and first.reader != reader:
                return ("on_hold",)
            if it.reader is not None:
                return ("charged_to_other",)
            if reader in self.banned:
                return ("blocked",)
            if 0 < self.loans_max[reader] <= len(self.has(reader)):
                return ("item_limit",)
            if it.costs and not agreed:
                return ("fee",)
        return self._hand_out(terminal, "11", reader, item, now, key, agreed, happened)

    def _hand_out(
        self,
        terminal: str,
        code: str,
        reader: str,
        item: str,
        now: datetime,
        key: str,
        agreed: bool,
        happened: datetime | None,
    ) -> Answer:
        it, first = self.copies[item], self.first(item, now)
        last = Last(terminal, code, reader, now + DAY, copy.copy(it))
        if first is not None and first.reader == reader:
            last.wait, last.wait_before = first, copy.copy(first)
            self.waits.remove(first)
        elif first is not None and first.set_aside == item:
            last.wait, last.wait_before = first, copy.copy(first)
            first.set_aside, first.ready = None, False
        at = happened or now
        it.reader, it.taken, it.renewals, it.travels = reader, at, 0, False
        self.lent[item] += 1
        it.due = end_of_day(at, it.days)
        fee = self._charge(last, reader, it.costs if agreed else 0)
        answer = {"patron": reader, "renewed": False, "due": it.due, "fee": fee}
        self._note(item, key, now, last, answer)
        return answer

    def renew(
        self,
        terminal: str,
        reader: str,
        item: str,
        now: datetime,
        key: str,
        *,
        agreed: bool,
        happened: datetime | None,
    ) -> Answer:
        """A 29 for oneself."""
        if reader not in self.loans_max:
            return ("unknown_card",)
        if item not in self.copies:
            return ("unknown_item",)
        it = self.copies[item]
        if it.reader == reader:
            return self._extend(terminal, "29", item, now, key, agreed, happened)
        if happened is None:
            return ("charged_to_other",) if it.reader else ("not_charged",)
        return self._hand_out(terminal, "29", reader, item, now, key, agreed, happened)

    def _extend(
        self,
        terminal: str,
        code: str,
        item: str,
        now: datetime,
        key: str,
        agreed: bool,
        happened: datetime | None,
    ) -> Answer:
        it, first = self.copies[item], self.first(item, now)
        assert it.reader is not None
        assert it.due is not None
        if happened is None:
            if first is not None and first.reader != it.reader:
                return ("on_hold",)
            if it.reader in self.banned:
                return ("blocked",)
            if it.renewals >= it.renewals_max:
                return ("renewal_limit",)
            if it.costs and not agreed:
                return ("fee",)
        last = Last(terminal, code, it.reader, now + DAY, copy.copy(it))
        it.due = max(it.due, end_of_day(happened or now, it.days))
        it.renewals += 1
        fee = self._charge(last, it.reader, it.costs if agreed else 0)
        answer = {"patron": it.reader, "renewed": True, "due": it.due, "fee": fee}
        self._note(item, key, now, last, answer)
        return answer

    def _charge(self, last: Last, reader: str, amount: int) -> int:
        if amount:
            last.debt = (reader, amount)
            self.debts.append(last.debt)
        return amount

    def checkin(
        self, terminal: str, item: str, now: datetime, key: str, *, happened: datetime | None
    ) -> Answer:
        """A 09."""
        if item not in self.copies:
            return ("unknown_item",)
        it, place = self.copies[item], self.terminals[terminal]
        last = Last(terminal, "09", it.reader, now + DAY, copy.copy(it))
        if it.reader and happened and it.taken and happened < it.taken:
            last.reader = None
            answer: dict[str, Any] = {"patron": "", "fee": 0, "to": None, "alert": None, "for": ""}
            self._note(item, key, now, last, answer)
            return answer
        if not (it.reader or it.travels or place.takes_anything or happened):
            return ("not_charged",)
        late = 0
        if it.reader and it.due is not None:
            days = ((happened or now).astimezone(ZONE).date() - it.due.astimezone(ZONE).date()).days
            late = self._charge(last, it.reader, max(0, days) * it.per_day)
        answer = {"patron": it.reader or "", "fee": late, "alert": None, "for": ""}
        it.reader = it.taken = it.due = None
        it.renewals, it.place = 0, place.branch
        goal, first = it.owner, self.first(item, now)
        if first is not None:
            last.wait, last.wait_before = first, copy.copy(first)
            goal = first.pickup or place.branch
            first.set_aside, first.ready = item, goal == place.branch
            answer["for"] = first.reader
            answer["alert"] = "01" if first.ready else "02"
        it.travels = goal != place.branch
        answer["to"] = goal if it.travels else None
        self._note(item, key, now, last, answer, first)
        return answer

    def cancel(
        self, terminal: str, code: str, reader: str | None, item: str, now: datetime, key: str
    ) -> Answer:
        """An 11 or 09 with BI."""
        if item not in self.copies:
            return ("unknown_item",)
        if code == "11" and reader not in self.loans_max:
            return ("unknown_card",)
        it, last = self.copies[item], self.last.get(item)
        opposite = {"11": "09", "09": "11"}[code]
        if (
            last is None
            or last.before is None
            or (last.terminal, last.code) != (terminal, opposite)
            or last.until <= now
            or (code == "11" and reader != last.reader)
            or it.reader != (last.reader if opposite == "11" else None)
        ):
            return ("nothing_to_cancel",)
        self.copies[item] = copy.copy(last.before)
        if last.wait is not None and last.wait_before is not None:
            if last.wait in self.waits:
                last.wait.set_aside = last.wait_before.set_aside
                last.wait.ready = last.wait_before.ready
            elif last.code == "11":
                self.waits.append(last.wait_before)
        if last.debt is not None:
            self.debts.remove(last.debt)
        if last.key is not None:
            self.told.pop(last.key, None)
        answer = {"patron": last.reader or "", "due": self.copies[item].due}
        self._note(item, key, now, Last(terminal, code, reader, now + DAY, None), answer)
        return answer

    # Waiting

    def _waits_of(self, reader: str, item: str, now: datetime) -> list[Wait]:
        """This reader's for the copy, then those for its title."""
        title = self.copies[item].title
        mine = [
            wait
            for wait in self.waits
            if wait.reader == reader and (wait.expires is None or now < wait.expires)
        ]
        this_one = [wait for wait in mine if item in (wait.set_aside, wait.only)]
        any_one = [wait for wait in mine if wait.title == title]
        return this_one + any_one

    def hold(
        self,
        reader: str,
        item: str,
        now: datetime,
        key: str,
        *,
        mode: str,
        any_copy: bool,
        pickup: str | None,
        expires: datetime | None,
    ) -> Answer:
        """A 15 at a terminal in MAIN."""
        if reader not in self.loans_max:
            return ("unknown_card",)
        if item not in self.copies:
            return ("unknown_item",)
        it, own = self.copies[item], next(iter(self._waits_of(reader, item, now)), None)
        past = expires is not None and expires <= now
        if mode == "+":
            reason = self._against_waiting(reader, it, own, now) or ("expired" if past else "")
            if reason:
                return (reason,)
            title, only = (it.title, None) if any_copy else (None, item)
            self.waited += 1
            own = Wait(reader, title, only, now, pickup or "MAIN", expires, self.waited)
            self.waits.append(own)
            return self._wait_told("15+", item, key, now, own)
        if own is None:
            return ("no_such_hold",)
        if mode == "-":
            self.waits.remove(own)
            return self._wait_told("15-", item, key, now, own)
        if own.ready and pickup is not None and pickup != own.pickup:
            return ("hold_ready",)
        if past:
            return ("expired",)
        own.pickup, own.expires = pickup or own.pickup, expires or own.expires
        return self._wait_told("15*", item, key, now, own)

    def _wait_told(self, code: str, item: str, key: str, now: datetime, wait: Wait) -> Answer:
        answer = {"for": wait.reader}
        self._tell(code, item, key, now, answer, wait)
        return answer

    def _against_waiting(self, reader: str, it: Copy, own: Wait | None, now: datetime) -> str:
        if not it.for_loan:
            return "not_for_loan"
        if it.reader == reader:
            return "already_charged"
        if own is not None:
            return "already_held"
        if reader in self.banned:
            return "blocked"
        mine = [w for w in self.waits if w.reader == reader and (not w.expires or now < w.expires)]
        return "hold_limit" if 0 < self.holds_max[reader] <= len(mine) else ""


def end_of_day(moment: datetime, days: int) -> datetime:
    """The last second of the local day that comes so many days later (C34)."""
    day = moment.astimezone(ZONE).date() + timedelta(days=days)
    return datetime.combine(day, time(23, 59, 59), ZONE)
