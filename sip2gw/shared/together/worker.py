"""What a worker remembers, as far as it is not the only one to know it (B87, C131)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sip2gw.shared.doorkeeper import Caps
from sip2gw.shared.state import SharedState
from sip2gw.shared.together.courier import Courier, Wire
from sip2gw.shared.together.doors import JointAdmissions, JointPassages
from sip2gw.shared.together.guesses import JointGuard, JointGuesses
from sip2gw.shared.together.lines import JointDoorkeeper, JointLines, JointReplacements
from sip2gw.shared.together.messages import (
    Admitted,
    AdmittedAgain,
    Answered,
    Asked,
    KnownPatron,
    Led,
    Message,
    PassagesChanged,
    PinFailed,
    PinSeen,
    PinsFailed,
    Refused,
    Replace,
    Seen,
    Settle,
    Settled,
    Told,
    Unwritten,
)


class WorkerState(SharedState):
    """The state of one worker among several: what is shared, the parent and the others hear of."""

    def __init__(
        self, limits: Callable[[], Caps], monotonic: Callable[[], float], wire: Wire
    ) -> None:
        """`wire` is the way to the parent; see also `SharedState`."""
        super().__init__(limits, monotonic)
        self._courier = courier = Courier(wire)
        self.passages = passages = JointPassages(courier)
        self.admissions = admissions = JointAdmissions(courier, monotonic)
        self.pin_guesses = guesses = JointGuesses(courier)
        self.callers = JointGuard(courier)
        self.doorkeeper = JointDoorkeeper(courier)
        lines: JointLines[Any] = JointLines(courier, monotonic)
        self.connected = self._lines = lines
        self.replacements = JointReplacements(courier)
        self._takes: dict[type[Message], Callable[[Any], None]] = {
            Settled: lines.take_settled,
            Replace: lines.take_replace,
            PinFailed: guesses.take_failed,
            PinsFailed: guesses.take_all_failed,
            Unwritten: guesses.take_unwritten,
            PassagesChanged: passages.take_changed,
            Led: passages.take_led,
            Admitted: admissions.take_admitted,
            AdmittedAgain: admissions.take_admitted_again,
            Seen: admissions.take_seen,
            PinSeen: admissions.take_pin,
            Refused: admissions.take_refused,
            KnownPatron: admissions.take_known,
        }

    def receive(self, message: Told | Asked) -> Awaitable[Answered] | None:
        """Take in what the parent says; returns the answer to a question."""
        if isinstance(message, Asked):
            assert isinstance(message.question, Settle)
            return self._settle(self._lines.come_to_rest(message.question.terminal))
        for told in message.messages:
            self._takes[type(told)](told)
        return None

    async def _settle(self, resting: Awaitable[object]) -> Answered:
        await resting
        self._courier.flush()  # the answer says that everything was told
        return Answered(1)
