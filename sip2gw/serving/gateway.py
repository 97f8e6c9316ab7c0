"""Answers each request with one response: checks login and rights, runs the handler.

Every known request gets a response of its own type (B2). The response refuses if the terminal has
not logged in or lacks the right, and is negative if the backend or our own code fails. No exception
leaves this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sip2gw.authentication.verification import PasswordService
from sip2gw.backend.base import (
    Backend,
    BackendError,
    BackendTimeoutError,
    HungUpError,
)
from sip2gw.foundation.clock import Clock
from sip2gw.handlers import Answer, Failing, Handler, Services, Session
from sip2gw.handlers.base import NOTHING_FOLLOWS
from sip2gw.handlers.repeating import repeats
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log, RequestLine
from sip2gw.policy.card_numbers import apply_rules
from sip2gw.protocol.codec import salvage
from sip2gw.protocol.line.connection import UnreadableReceived
from sip2gw.protocol.messages import (
    ALWAYS_SUPPORTED,
    AcsStatus,
    Login,
    Request,
    ScStatus,
)
from sip2gw.serving.conversation import Conversation
from sip2gw.serving.login import LoginDesk
from sip2gw.serving.rights import EXPIRED, NOT_ALLOWED, denied, failure_form
from sip2gw.serving.site import Site
from sip2gw.shared.callers import AddressGuard

KEEP_WAIT_S = 0.5
"""How long a no may wait for its entry to be durable, so that staff find it after a power cut."""

UNKNOWN = "unknown"
"""The reason of a "not sure" answer (C98)."""

OLD_VERSIONS = ("0.", "1.")
"""Protocol versions that get on-line `N` (SIP2 2.00, message 99)."""


def _failing(conversation: Conversation, kind: type[Request]) -> Failing:
    """What follows when a request of `kind` fails; nothing before the login."""
    session = conversation.session
    return session.terminal.failing.get(kind, NOTHING_FOLLOWS) if session else NOTHING_FOLLOWS


async def by_card_rules(session: Session, request: Any, handler: Handler) -> Answer:
    """Let `handler` look up the number that the terminal's rules make of the scanned one (B95)."""
    scanned = getattr(request, "patron_identifier", None)
    session.scanned = ("", "")
    if scanned:
        request.patron_identifier = apply_rules(session.terminal.card_rules, scanned)
        session.scanned = (request.patron_identifier, scanned)
    answer = await handler(session, request)
    answer.card = session.as_scanned(answer.card)
    return answer


class Gateway:
    """Answers requests. It knows no sockets; lines feed it."""

    def __init__(
        self,
        site: Site,
        backend: Backend,
        services: Services,
        passwords: PasswordService,
        callers: AddressGuard,
        log: Log,
    ) -> None:
        self.site = site
        self.backend = backend
        self.services = services
        self.metrics: Metrics = services.metrics
        self.clock: Clock = services.clock
        self.log = log
        self.logins = LoginDesk(passwords, services, log, lambda: self.site, callers)
        self.on_unknown: Callable[[], None] = lambda: None
        """Called after a "not sure" answer, because there is now something to settle."""

    # Answering -----------------------------------------------------------------------------

    async def answer(self, conversation: Conversation, request: Request, gated: bool) -> Answer:
        """Answer `request`; only a terminal that hangs up gets no answer.

        Cancelled at the deadline, it answers at once. If the write was finished by then, the answer
        says so; if a write was under way, the answer is "not sure" (`OutcomeUnknownError`). In
        every other case it is a no.

        Raises:
            HungUpError: the terminal has hung up.
        """
        try:
            begun = self._begin(conversation, request, gated)
            answer = begun if isinstance(begun, Answer) else await begun
        except HungUpError:
            raise
        except asyncio.CancelledError:
            error = BackendTimeoutError("deadline")
            self.backend_failed(error, request.code)
            answer = await self._failed(conversation, request, error)
        except BackendError as error:
            self.backend_failed(error, request.code)
            decided = await self._without_backend(conversation, request, error)
            answer = decided or await self._failed(conversation, request, error)
        except Exception as error:
            self._failed_by_bug(request, error)
            answer = await self._failed(conversation, request, BackendError())
        if answer.outcome != "ok" and _failing(conversation, type(request)).keep is not None:
            await self._keep_in_time(conversation, request, answer)
        return answer

    def _begin(
        self, conversation: Conversation, request: Request, gated: bool
    ) -> Answer | Awaitable[Answer]:
        """The answer, or what gives it. No coroutine, for each costs a request that waits twice:
        Python passes through it to where it goes on."""
        if isinstance(request, Login):
            return self.logins.answer(conversation, request)
        session = conversation.session
        if session is None or gated:
            return self._before_login(conversation, request)
        terminal = session.terminal
        why_not = denied(terminal, request.code, self.clock)
        if why_not is EXPIRED:
            conversation.closing = "terminal_expired"
            return self.refuse(conversation, request, *EXPIRED)
        if request.extra_fields:
            self.metrics.unknown_fields += len(request.extra_fields)
        institution = getattr(request, "institution_id", "")
        if institution and institution != terminal.institution_id:
            self.metrics.foreign_institution += 1
        if why_not is not None:
            if why_not is NOT_ALLOWED:
                self.metrics.frames_rejected["not_allowed"] += 1
            return self.refuse(conversation, request, *why_not)
        handler = terminal.handlers[type(request)]
        if isinstance(request, ScStatus) and not terminal.is_observed:
            return self._status(conversation, session, request, handler)
        if terminal.card_rules:
            return by_card_rules(session, request, handler)
        return handler(session, request)

    async def _status(
        self, conversation: Conversation, session: Session, request: ScStatus, handler: Handler
    ) -> Answer:
        """98; while the backend is down it is looked at once more (B15)."""
        if not self.metrics.backend_up:
            await self.check_backend()
        if not self.metrics.backend_up or request.protocol_version.startswith(OLD_VERSIONS):
            return self._offline(conversation, request)
        return await handler(session, request)

    def refuse(
        self, conversation: Conversation, request: Request, text_key: str, reason: str
    ) -> Answer:
        """The response to `request` in failure form, with a text (B2, C27)."""
        terminal, now = conversation.terminal, self._now(conversation)
        response = failure_form(self.site, terminal, request, now, text_key)
        return Answer(response, "refused", reason)

    async def unreadable(self, conversation: Conversation, event: UnreadableReceived) -> Answer:
        """Refuse a request with a broken fixed block (B2), or hand it on as it is (C126)."""
        terminal = conversation.terminal
        if terminal is not None and terminal.is_observed and event.request_type is not Login:
            return await self.answer(conversation, event.request_type(), gated=False)
        self.metrics.frames_rejected["unreadable"] += 1
        answer = self.refuse(conversation, event.request_type(), "system", "unreadable")
        if _failing(conversation, event.request_type).keep is not None:
            told = salvage(event.frame, event.request_type, conversation.link.wire)
            await self._keep_in_time(conversation, told, answer)
        return answer

    async def _keep_in_time(
        self, conversation: Conversation, request: Request, answer: Answer
    ) -> None:
        """Keep what was refused, but do not let a slow store hold back the no."""
        try:
            written = self._keep(conversation, request, answer)
            if written is not None:
                await asyncio.wait((written,), timeout=KEEP_WAIT_S)
        except asyncio.CancelledError:
            return  # the decision stands, and the entry is written all the same
        except Exception as error:
            self._failed_by_bug(request, error)

    def _keep(
        self, conversation: Conversation, request: Request, answer: Answer
    ) -> asyncio.Future[None] | None:
        """Keep a refused request for staff (B100, C104).

        Requests that the terminal may not send are not kept, so they cannot fill the list.

        Returns:
            A future that is done once the entry is written; None if there is nothing to wait for.
        """
        session, keep = conversation.session, _failing(conversation, type(request)).keep
        if session is None or keep is None or request.code not in session.terminal.messages:
            return None
        if answer.reason == UNKNOWN:
            return None  # the attempt is noted already, and `payment reconcile` lists it
        return keep(session, request, answer.reason, self.log)

    def _now(self, conversation: Conversation) -> datetime:
        terminal = conversation.terminal
        return self.clock.now(terminal.zone if terminal else self.site.config.zone)

    def _before_login(self, conversation: Conversation, request: Request) -> Answer:
        """Answer a terminal that has not logged in: only 93, 99 and 97 are served (B11, C26)."""
        if isinstance(request, ScStatus) and self.site.config.server.status_before_login:
            config = self.site.config
            return Answer(
                AcsStatus(
                    online=True,
                    timeout_period_ds=int(config.server.terminal_timeout_s * 10),
                    retries_allowed=config.server.terminal_retries,
                    transaction_date=self._now(conversation),
                    institution_id=config.institution.id,
                    library_name=config.institution.name,
                    supported_messages=ALWAYS_SUPPORTED,
                )
            )
        self.metrics.frames_rejected["not_logged_in"] += 1
        return self.refuse(conversation, request, "not_logged_in", "not_logged_in")

    def _offline(self, conversation: Conversation, request: ScStatus) -> Answer:
        """98 with on-line `N` and time-out 000: backend down, or protocol too old (B15)."""
        if self.backend_up:
            return self.refuse(conversation, request, "old_protocol", "old_protocol")
        answer = self.refuse(conversation, request, "system", "unavailable")
        answer.outcome = "error"
        return answer

    def _failed_by_bug(self, request: Request, error: Exception) -> None:
        self.metrics.backend_errors["answer", "bug"] += 1
        self.log.events.error("request_failed", message=request.code, exc_info=error)

    async def _failed(
        self, conversation: Conversation, request: Request, error: BackendError
    ) -> Answer:
        """The answer to a request that failed: negative, with "try again / ask staff".

        If the outcome of this request, or of an earlier one that it repeats, is unknown, and only
        then, the answer is "not sure, ask staff" (B46, C59, C98). A request that must not end in a
        no gets its own answer: an exit opens all the same (C67).
        """
        session, failing = conversation.session, _failing(conversation, type(request))
        if session is not None and failing.undecided is not None:
            decided = failing.undecided(session, request)
            if decided is not None:
                return decided
        key = "system" if error.of_store else "library_away"
        reason, outcome = error.kind, "refused"
        is_unknown = isinstance(error, failing.unknown_after)
        if is_unknown or await self._is_in_doubt(conversation, request):
            key, reason, outcome = failing.unknown_text_key, UNKNOWN, UNKNOWN
            self.on_unknown()
        if failing.count is not None:
            failing.count(self.metrics, outcome)
        answer = self.refuse(conversation, request, key, reason)
        if session is not None and session.terminal.card_rules:
            told: Any = answer.response
            if getattr(told, "patron_identifier", None):
                told.patron_identifier = session.as_scanned(told.patron_identifier)
        answer.outcome = "error"
        return answer

    async def _is_in_doubt(self, conversation: Conversation, request: Request) -> bool:
        """Whether `request` repeats what may have been done, so that a no could be wrong."""
        session = conversation.session
        if session is None:
            return False
        return await self.backend.has_open_attempt(lambda known: repeats(session, request, known))

    async def _without_backend(
        self, conversation: Conversation, request: Request, error: BackendError
    ) -> Answer | None:
        """Decide without the backend where that is possible (B40); None for most requests."""
        session = conversation.session
        decide = _failing(conversation, type(request)).without_backend
        if session is None or decide is None:
            return None
        try:
            return await decide(session, request, error)
        except HungUpError:
            raise
        except asyncio.CancelledError:
            return None
        except Exception as failure:
            self._failed_by_bug(request, failure)
            return None

    # Backend state -------------------------------------------------------------------------

    @property
    def backend_up(self) -> bool:
        """Whether the backend worked at the last attempt."""
        return self.metrics.backend_up

    def backend_failed(self, error: BackendError, operation: str) -> None:
        """Count a failure, log it, and remember if the backend is unavailable (B15)."""
        self.metrics.backend_errors[operation, error.kind] += 1
        if error.kind == "unavailable" and error.of_store:
            self.metrics.backend_up = False
        if error.of_store:
            self.log.events.error(
                "backend_failed", operation=operation, kind=error.kind, exc_info=error
            )
        else:
            # While it is away every request comes here, and where in our code says nothing.
            problem = {"problem": error.problem} if error.problem else {}
            self.log.events.warning(
                "backend_failed", operation=operation, kind=error.kind, **problem
            )

    async def check_backend(self) -> None:
        """Find out whether the backend works, and remember the result."""
        try:
            await self.backend.ping()
        except BackendError as error:
            if self.backend_up:
                self.backend_failed(error, "ping")
            self.metrics.backend_up = False
        else:
            if not self.backend_up:
                self.log.events.info("backend_up")
            self.metrics.backend_up = True

    async def watch_backend(self) -> None:
        """Notice without a request that the store has gone, or that it works again (C109)."""
        if not self.backend_up:
            await self.check_backend()
            return
        try:
            await self.backend.look()
        except BackendError as error:
            self.backend_failed(error, "look")

    # Observing -----------------------------------------------------------------------------

    def observe(
        self, conversation: Conversation, code: str, answer: Answer, started: float
    ) -> None:
        """Count and log one answered request."""
        clock, metrics, log = self.clock, self.metrics, self.log
        seconds, epoch = clock.monotonic() - started, clock.epoch()
        terminal, profile, session = "", "", conversation.session
        conversation.requests += 1
        if session is not None:
            terminal, profile = session.terminal.name, session.terminal.profile
            metrics.last_message[terminal] = epoch
        metrics.requests[code, profile, answer.outcome] += 1
        metrics.request_seconds[code].observe(seconds)
        log.request(
            RequestLine(
                time=clock.log_text(epoch),
                event="request",
                level="info",
                connection=conversation.number,
                terminal=terminal,
                message=code,
                outcome=answer.outcome,
                duration_us=int(seconds * 1e6),
                reason=answer.reason,
                card=log.redactor.pseudonym(answer.card) if answer.card else "",
                worker=log.worker,
            )
        )
