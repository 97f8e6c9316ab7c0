"""What only the gateway notices and a person must follow up (B64, C19, C145, C163).

PINs that were locked and guesses at a terminal wait in a small queue until the store takes them,
usually for a second; a crash loses no more than that. So do the answers that kiosks have shown.
Which terminals are silent all gateways on a store find out together. What else is in the store is
found by `sip2gw.staff.support.follow_up`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.config import Branch, Config, Terminal
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.words import counted
from sip2gw.model.journal import Waiting
from sip2gw.model.support import AutomaticCategory, Cause
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.data_age import is_too_old
from sip2gw.policy.desk.silence import SilentTerminal, is_silent
from sip2gw.shared.answers import ShownAnswers
from sip2gw.staff.support import opening_days

CAUSES_WAITING_MAX = 1_000
"""More are dropped, and the log says how many of which category."""
CAUSES_AT_ONCE = 50
"""In one transaction: on SQLite it runs in the event loop's thread."""
CONNECT_AGAIN_S = 3600.0
"""So long after its start the gateway takes no terminal for silent: they may have been unable to
reach it while it was down."""


class CauseChore:
    """Opens the messages, and notes which answers were shown. Used in one event loop.

    Args:
        store: where messages are kept.
        config: the configuration in force; with `support.enabled = false` no message is opened.
        answers: what kiosks have shown.
        metrics: knows when each terminal was heard.
        data_since: when an account was answered last, or data imported (C138).
    """

    def __init__(
        self,
        store: Library,
        config: Callable[[], Config],
        answers: ShownAnswers,
        metrics: Metrics,
        clock: Clock,
        log: Log,
        data_since: Callable[[str | None], datetime | None],
    ) -> None:
        self._store = store
        self._config = config
        self._answers = answers
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._data_since = data_since
        self._old: frozenset[tuple[str | None, str]] = frozenset()
        """Accounts (None: the store) and branches whose doors refuse because of old data; each
        was told when it began."""
        self._waiting: deque[Cause] = deque()
        self._dropped: Counter[str] = Counter()
        self._failing = False
        self._began = clock.monotonic()
        self._noted: dict[str, float] = {}
        """When each terminal was heard last, as the store knows it from this process."""

    # What only this process knows

    def pin_locked(self, what: str, terminal: str) -> None:
        """A limit of wrong PINs was reached at `terminal`: that of a `card`, or its own."""
        known = self._config().terminals.get(terminal)
        if known is None or not self._config().support.enabled:
            return
        if what == "terminal":
            text = f"Many wrong PINs were entered at {terminal}. Look who stands there."
            self._tell(AutomaticCategory.PIN_FAILURES, known, text)
        elif known.profile.kind == "door":
            text = (
                f"A PIN was locked after wrong PINs at the door {terminal}. Locks end by"
                " themselves; `sip2gw patron set-pin` ends one at once."
            )
            self._tell(AutomaticCategory.PIN_LOCKS, known, text)

    async def look_for_old_data(self) -> None:
        """Tell when doors have begun to refuse because of old data (C138): one message for the
        store, or for the account that did not answer, whatever the number of branches (C163)."""
        if not self._config().support.enabled:
            return
        doors: dict[str | None, dict[str, Branch]] = {}
        for account, branch in self._doors_with_old_data():
            doors.setdefault(account, {})[branch.code] = branch
        old = frozenset((account, code) for account, codes in doors.items() for code in codes)
        begun = {account for account, _ in old - self._old}
        for account, branches in doors.items():
            if account in begun:
                text = _old_data_text(account, branches)
                self._add(Cause(AutomaticCategory.OLD_DATA, account or "store", text))
        self._old = old

    def _doors_with_old_data(self) -> Iterator[tuple[str | None, Branch]]:
        """Where each door's data comes from (None: the store), and its branch."""
        now = self._clock.now()
        for terminal in self._config().terminals.values():
            branch = terminal.branch
            if branch is None or terminal.profile.kind != "door":
                continue
            limit = branch.data_max_age
            if limit is not None and is_too_old(self._data_since(terminal.upstream), now, limit):
                yield terminal.upstream, branch

    def journal_stays(self, oldest: Waiting, count: int, is_full: bool) -> None:
        """Loans and returns wait long for the library system, or find no more room (B77)."""
        if not self._config().support.enabled:
            return
        what = counted(count, "loan or return", "loans and returns")
        why = "No more can be taken off line." if is_full else "Find out why it is away."
        text = (
            f"{what} of the account {oldest.account} could not be handed over to the library"
            f" system yet, the oldest since {oldest.since:%Y-%m-%d %H:%M} UTC. {why} See"
            " `sip2gw upstream status` and `sip2gw upstream journal --open`."
        )
        self._add(Cause(AutomaticCategory.JOURNAL, oldest.oldest, text))

    def _tell(self, category: AutomaticCategory, at: Terminal, text: str) -> None:
        branch = at.branch.code if at.branch is not None else None
        self._add(Cause(category, at.name, text, branch=branch))

    def _add(self, cause: Cause) -> None:
        if len(self._waiting) >= CAUSES_WAITING_MAX:
            self._dropped[cause.category] += 1
            return
        self._waiting.append(cause)

    async def write(self) -> None:
        """Bring to the store what waits; what it does not take waits for the next time."""
        if self._dropped:
            self._log.events.warning("support_causes_dropped", causes=dict(self._dropped))
            self._dropped.clear()
        try:
            await self._write_causes()
            await self._write_answers()
        except BackendError as error:
            if not self._failing:
                self._failed(error)
            self._failing = True
        else:
            self._failing = False

    async def _write_causes(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), CAUSES_AT_ONCE))]
            try:
                await self._store.open_automatic(
                    some, self._clock.now(), opening_days(self._config())
                )
            except BackendError:
                self._waiting.extendleft(reversed(some))
                raise

    async def _write_answers(self) -> None:
        for patron_id, shown in self._answers.waiting().items():
            await self._store.mark_answers_shown(patron_id, shown)
            self._answers.written(patron_id, shown)

    # What the store knows

    async def look_for_silence(self) -> None:
        """Let all gateways know which terminals were heard, and open messages for silent ones."""
        if not self._config().support.enabled:
            return
        try:
            await self._note_heard()
            if self._clock.monotonic() - self._began >= CONNECT_AGAIN_S:
                await self._tell_silence()
        except BackendError as error:
            self._failed(error)

    async def _note_heard(self) -> None:
        heard = {
            terminal: at
            for terminal, at in self._metrics.last_message.items()
            if at > self._noted.get(terminal, 0.0)
        }
        if heard:
            times = {name: datetime.fromtimestamp(at, UTC) for name, at in heard.items()}
            await self._store.note_heard(times)
            self._noted.update(heard)

    async def _tell_silence(self) -> None:
        now = self._clock.now()
        silent = await asyncio.to_thread(self._silent, now)
        if silent:
            await self._store.tell_silent_terminals(silent, now, opening_days(self._config()))

    def _silent(self, now: datetime) -> list[SilentTerminal]:
        """In a thread: the configured terminals that are silent and were not told yet."""
        found = []
        for name, heard in self._store.last_heard().items():
            terminal = self._config().terminals.get(name)
            if terminal is None:
                continue
            branch = terminal.branch
            if is_silent(heard, now, branch.calendar if branch is not None else None):
                found.append(SilentTerminal(name, heard, branch.code if branch else None))
        return found

    def _failed(self, error: BackendError) -> None:
        self._metrics.backend_errors["support", error.kind] += 1
        self._log.events.warning("support_failed", kind=error.kind, problem=str(error))


def _old_data_text(account: str | None, branches: Mapping[str, Branch]) -> str:
    """`branches` are those, by code, whose doors refuse because of the data of `account`."""
    refuse = f"The doors of {', '.join(sorted(branches))} refuse everybody"
    limits = [one.data_max_age for one in branches.values() if one.data_max_age is not None]
    hours = counted(int(max(limits).total_seconds()) // 3600, "hour")
    if account is None:
        return (
            f"{refuse}: nobody has imported data for {hours}. Import it with `sip2gw import`,"
            " and find out why that was not done."
        )
    return (
        f"{refuse}: the library system has not answered for {hours}, or not since the gateway"
        " was started. Look at `sip2gw upstream status`, and ask those who run it."
    )
