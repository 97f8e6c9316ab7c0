"""A worker's guesses at passwords and PINs: the parent has the only places (C19, C99, C100)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from sip2gw.backend.base import BackendTimeoutError
from sip2gw.shared.callers import AddressGuard
from sip2gw.shared.pin_guesses import GuessPlace, PinGuesses, TerminalLimit
from sip2gw.shared.together.courier import Courier
from sip2gw.shared.together.messages import (
    BeginGuess,
    GuessEnded,
    LoginFailed,
    PinFailed,
    PinsFailed,
    PlaceLeft,
    TakePlace,
    TakeTurn,
    TurnOver,
    Unwritten,
)
from sip2gw.shared.turns import NameTurns


class JointGuard(AddressGuard):
    """The places of an address are with the parent."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    async def take_place(self, address: str) -> bool:
        """See `AddressGuard`; without the parent there is no place."""
        try:
            place = await self._courier.take(
                TakePlace(address), lambda place: self.leave_place(address)
            )
        except BackendTimeoutError:
            return False
        return bool(place)

    def leave_place(self, address: str) -> None:
        """See `AddressGuard`."""
        self._courier.tell(PlaceLeft(address))

    async def note_failure(self, address: str, step_s: float) -> float:
        """See `AddressGuard`."""
        try:
            return await self._courier.ask(LoginFailed(address, step_s))
        except BackendTimeoutError:
            return step_s


class JointTurns(NameTurns):
    """First the turn among those of this worker, then that among the workers."""

    def __init__(self, courier: Courier) -> None:
        super().__init__()
        self._courier = courier

    def take_free(self, names: Sequence[str]) -> bool:
        """Never: only the parent knows who has a turn."""
        return False

    async def take(self, names: Sequence[str]) -> None:
        """See `NameTurns`."""
        await super().take(names)
        try:
            await self._courier.take(TakeTurn(list(names)), lambda _: self._tell_over(names))
        except BaseException:
            super().release(names)
            raise

    def release(self, names: Sequence[str]) -> None:
        """See `NameTurns`."""
        self._tell_over(names)
        super().release(names)

    def _tell_over(self, names: Sequence[str]) -> None:
        self._courier.tell(TurnOver(list(names)))


class _FarPlace(Struct, frozen=True):
    courier: Courier
    guess: int

    def leave(self) -> None:
        self.courier.tell(GuessEnded(self.guess))


class JointGuesses(PinGuesses):
    """The parent counts guesses and failures; this is a copy of the failures.

    The parent knows of a failure before its answer leaves. So the next guess is judged with it,
    at whatever worker it is, even if the copy there is behind.
    """

    def __init__(self, courier: Courier) -> None:
        super().__init__(JointTurns(courier))
        self._courier = courier

    async def begin(self, terminal: str, limit: TerminalLimit, now: float) -> GuessPlace:
        """See `PinGuesses`.

        Raises:
            BackendTimeoutError: the parent does not answer, so nothing may be judged.
        """
        question = BeginGuess(terminal, limit.failures_max, limit.window_s, now)
        guess = await self._courier.take(question, lambda guess: self._place(guess).leave())
        return self._place(guess)

    def _place(self, guess: float) -> GuessPlace:
        return _FarPlace(self._courier, int(guess))

    async def fail(self, terminal: str, limit: TerminalLimit, now: float) -> bool:
        """See `PinGuesses`."""
        self.learn(terminal, limit, now)
        try:
            return bool(
                await self._courier.ask(
                    PinFailed(terminal, limit.failures_max, limit.window_s, now)
                )
            )
        except BackendTimeoutError:
            return False

    def tell_unwritten(self, name: str, change: int, until: float) -> None:
        """See `PinGuesses`; said while it is this worker's turn to guess at the patron."""
        self._courier.tell(Unwritten(name, change, until))

    def take_unwritten(self, told: Unwritten) -> None:
        """Another worker could not write a failure, or has written it."""
        self.on_unwritten(told.name, told.change, datetime.fromtimestamp(told.until, UTC))

    def take_failed(self, told: PinFailed) -> None:
        """A PIN has failed at another worker."""
        self.learn(told.terminal, TerminalLimit(told.failures_max, told.window_s), told.at)

    def take_all_failed(self, told: PinsFailed) -> None:
        """These have failed before this worker began."""
        self.restore(told.terminal, told.failures_max, told.at)
