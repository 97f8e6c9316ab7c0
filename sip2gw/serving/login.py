"""Logins: checks password and address, and slows down guessing (B11, B12, B94, C9, C100, C101).

A keyed digest recognises a password that was right before, within microseconds. So a known terminal
gets through whatever else happens at its address. Everybody else waits for one of the few places of
their address (`AddressGuard`), and for a slow hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sip2gw.authentication.verification import PasswordService
from sip2gw.backend.base import BackendTimeoutError, HungUpError
from sip2gw.handlers import Answer, Session
from sip2gw.protocol.messages import Login, LoginResponse
from sip2gw.shared.callers import AddressGuard

if TYPE_CHECKING:
    from sip2gw.handlers import Services
    from sip2gw.monitoring.telemetry import Log
    from sip2gw.serving.conversation import Conversation
    from sip2gw.serving.site import KnownTerminal, Site

WRONG = "unknown_or_wrong_password"
"""The reason of a refusal, for the log only: the terminal does not learn it."""


class LoginDesk:
    """Answers 93, and knows the terminals that need none."""

    def __init__(
        self,
        passwords: PasswordService,
        services: Services,
        log: Log,
        site: Callable[[], Site],
        callers: AddressGuard,
    ) -> None:
        """`site` returns the terminals as they are configured now."""
        self.on_login: Callable[[Conversation], None] = lambda conversation: None
        """Called with each conversation in which a terminal has logged in."""
        self._passwords = passwords
        self._services = services
        self._log = log
        self._site = site
        self._attempts: set[asyncio.Task[KnownTerminal | str]] = set()
        self._guard = callers

    def recognise(self, conversation: Conversation) -> None:
        """Let a terminal in that need not log in, by its address or certificate (B94, C134)."""
        known = self._site().recognised.find(conversation.address, conversation.client_names)
        if known is None:
            return
        if known.terminal.expired_at(self._services.clock.now()):
            self._tell_refusal(conversation, known, "expired")
            return
        # No 94 has to leave in the old form first, so the line has its own from the first byte.
        conversation.link.wire, conversation.link.logged_in = known.view.wire, True
        self._let_in(conversation, known, self._log.events.debug, "recognised")

    async def answer(self, conversation: Conversation, request: Login) -> Answer:
        """Answer a 93 with a 94.  Spec: SIP2 2.00, message 93; B11, B12, C9, C28, C100."""
        try:
            judged = await self._verify(conversation, request)
        except HungUpError:
            raise
        except asyncio.CancelledError:
            # The deadline has passed, perhaps because the answer was held back.
            judged = "too_late"
        known = self._known(request)
        if isinstance(judged, str):
            return self._refuse(conversation)
        if known is None or not judged.admits_like(known):
            # A reload has changed the terminal meanwhile.
            self._tell_refusal(conversation, known, WRONG)
            return self._refuse(conversation)
        return self._welcome(conversation, known)

    async def _verify(self, conversation: Conversation, request: Login) -> KnownTerminal | str:
        """The terminal as it was when its login was judged right, or the reason to refuse."""
        known = self._known(request)
        recognised = await self._is_known(request, known)
        # A right password that is refused for another reason takes the slow way too, so that the
        # time does not reveal that it was right.
        if recognised and known is not None and not self._obstacle(conversation, request, known):
            return known
        if not await self._guard.take_place(conversation.address):
            await self._guard.note_failure(conversation.address, 0)
            self._tell_refusal(conversation, known, "not_judged")
            return "not_judged"
        # In a task of its own: hanging up does not undo a guess.
        attempt = asyncio.get_running_loop().create_task(self._attempt(conversation, request))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._done)
        return await asyncio.shield(attempt)

    def _done(self, attempt: asyncio.Task[KnownTerminal | str]) -> None:
        self._attempts.discard(attempt)
        if not attempt.cancelled():
            attempt.exception()  # retrieved, so that asyncio does not report it again

    async def _attempt(self, conversation: Conversation, request: Login) -> KnownTerminal | str:
        """Judge a guess in the place taken for it; the terminal, or the reason to refuse.

        A wrong guess counts. It keeps its place, and its answer is held back, for a while.
        """
        try:
            known = self._known(request)
            stored, is_hash = _password_of(known)
            login, password = request.login_user_id, request.login_password
            try:
                good = await self._passwords.check(login, stored, is_hash, password)
            except BackendTimeoutError:
                self._tell_refusal(conversation, known, "not_judged")
                return "not_judged"
            reason = WRONG
            if good and known is not None:
                reason = self._obstacle(conversation, request, known)
                if not reason:
                    return known
            self._tell_refusal(conversation, known, reason)
            step_s = self._site().config.security.login_backoff_s
            held_back_s = await self._guard.note_failure(conversation.address, step_s)
            await asyncio.sleep(held_back_s)
            return reason
        finally:
            self._guard.leave_place(conversation.address)

    def _known(self, request: Login) -> KnownTerminal | None:
        return self._site().by_login.get(request.login_user_id)

    async def _is_known(self, request: Login, known: KnownTerminal | None) -> bool:
        stored, is_hash = _password_of(known)
        return await self._passwords.is_known(
            request.login_user_id, stored, is_hash, request.login_password
        )

    def _obstacle(self, conversation: Conversation, request: Login, known: KnownTerminal) -> str:
        """The reason to refuse a login with the right password, for the log; empty: accept it."""
        terminal = known.terminal
        if (request.uid_algorithm, request.pwd_algorithm) != ("0", "0"):
            return "algorithm"
        if not terminal.allows_address(conversation.address):
            return "network"
        if terminal.expired_at(self._services.clock.now()):
            return "expired"
        if terminal.location is not None and terminal.location != (request.location_code or ""):
            return "location"
        wanted = terminal.tls_client_name
        if wanted is not None and wanted not in conversation.client_names:
            return "client_certificate"
        return ""

    def _welcome(self, conversation: Conversation, known: KnownTerminal) -> Answer:
        self._services.metrics.logins["ok"] += 1
        conversation.failed_logins = 0
        self._let_in(conversation, known, self._log.events.info, "login")
        return Answer(LoginResponse(ok=True))

    def _let_in(
        self,
        conversation: Conversation,
        known: KnownTerminal,
        tell: Callable[..., object],
        event: str,
    ) -> None:
        """From now on the line is the terminal's; `tell` the log."""
        conversation.known = known
        conversation.session = Session(self._services, known.view, link=conversation.link)
        tell(
            event,
            connection=conversation.number,
            terminal=known.view.name,
            address=conversation.address,
        )
        self.on_login(conversation)

    def _tell_refusal(
        self, conversation: Conversation, known: KnownTerminal | None, reason: str
    ) -> None:
        """Log the reason of a refusal at once, because the answer may be held back."""
        self._log.stranger(
            "login_refused",
            connection=conversation.number,
            terminal=known.view.name if known is not None else "",
            address=conversation.address,
            reason=reason,
        )

    def _refuse(self, conversation: Conversation) -> Answer:
        conversation.session = conversation.known = None
        conversation.link.logged_in = False
        conversation.failed_logins += 1
        self._services.metrics.logins["refused"] += 1
        if conversation.failed_logins >= self._site().config.server.login_attempts:
            conversation.closing = "login_attempts"
        return Answer(LoginResponse(ok=False), "refused", "login")


def _password_of(known: KnownTerminal | None) -> tuple[str | None, bool]:
    """The configured password or hash (None for an unknown login), and whether it is a hash."""
    if known is None:
        return None, False
    clear, hashed = known.terminal.password, known.terminal.password_hash
    stored = clear or hashed
    return None if stored is None else stored.get_secret_value(), hashed is not None
