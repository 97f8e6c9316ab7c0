"""One request in, one response out: login, rights, handler, and the answer when all else fails.

Every known request gets a response of its own type (B2): refused when the terminal has not logged
in or may not ask, negative when the backend fails or our own code does. No exception leaves here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sip2gw.backend.base import (
    Backend,
    BackendError,
    BackendTimeoutError,
    OutcomeUnknownError,
)
from sip2gw.clock import Clock
from sip2gw.handlers import Answer, Services, Session, TerminalView
from sip2gw.handlers.door import decide_without_backend, end_undecided
from sip2gw.handlers.status import ALWAYS_SUPPORTED
from sip2gw.metrics import Metrics
from sip2gw.protocol.connection import ServerConnection
from sip2gw.protocol.messages import (
    AcsStatus,
    FeePaid,
    Login,
    LoginResponse,
    PatronInformation,
    PatronStatusRequest,
    Request,
    ScStatus,
)
from sip2gw.site import KnownTerminal, Site
from sip2gw.telemetry import Log, RequestLine
from sip2gw.texts import choose_language
from sip2gw.verification import PasswordService

LOGIN_FAILURES_WINDOW_S = 300.0
LOGIN_DELAY_STEPS_MAX = 3
"""Back-off grows with each failure of an address, up to this many times `login_backoff_s`."""

OLD_VERSIONS = ("0.", "1.")
"""Protocol versions that are answered with on-line `N` (SIP2 2.00, message 99)."""


@dataclass(slots=True)
class Conversation:
    """One connection, as far as the gateway cares."""

    number: int
    address: str
    link: ServerConnection
    client_names: frozenset[str] = frozenset()
    """Names in the TLS client certificate."""
    session: Session | None = None
    failed_logins: int = 0
    closing: str = ""
    """Set when the connection must be closed after the answer: why."""

    @property
    def terminal(self) -> TerminalView | None:
        """The logged-in terminal."""
        return self.session.terminal if self.session is not None else None


@dataclass(slots=True)
class LoginBackoff:
    """Delays the answers to failing logins of one address; good ones never wait (B11, C9)."""

    monotonic: Callable[[], float]
    _failures: dict[str, list[float]] = field(default_factory=dict)

    def delay_after_failure(self, address: str, step_s: float) -> float:
        """Seconds by which this failure's answer is held back; `step_s` for each recent one."""
        now = self.monotonic()
        recent = [
            at for at in self._failures.get(address, ()) if now - at < LOGIN_FAILURES_WINDOW_S
        ]
        recent = [*recent[-LOGIN_DELAY_STEPS_MAX:], now]
        if len(self._failures) > 10_000:
            self._failures.clear()
        self._failures[address] = recent
        return step_s * min(len(recent), LOGIN_DELAY_STEPS_MAX)


def _session_of_door(conversation: Conversation) -> Session | None:
    session = conversation.session
    is_door = session is not None and session.terminal.profile.kind == "door"
    return session if is_door else None


class Gateway:
    """Answers requests. Knows no socket; `server` feeds it."""

    def __init__(
        self,
        site: Site,
        backend: Backend,
        services: Services,
        passwords: PasswordService,
        log: Log,
    ) -> None:
        self.site = site
        self.backend = backend
        self.services = services
        self.metrics: Metrics = services.metrics
        self.clock: Clock = services.clock
        self.log = log
        self.backend_up = True
        self.on_login: Callable[[Conversation], None] = lambda conversation: None
        self.on_unknown: Callable[[], None] = lambda: None
        """Called when a terminal is told "not sure": there is something to settle."""
        self._passwords = passwords
        self._backoff = LoginBackoff(self.clock.monotonic)

    # Answering -----------------------------------------------------------------------------

    async def answer(self, conversation: Conversation, request: Request, gated: bool) -> Answer:
        """The answer to `request`; never raises but for cancellation."""
        try:
            return await self._dispatch(conversation, request, gated)
        except BackendError as error:
            self.backend_failed(error, request.code)
            answer = await self._door_without_backend(conversation, request, error)
            return answer or self._failed(conversation, request, error)
        except Exception as error:
            self.metrics.backend_errors["answer", "bug"] += 1
            self.log.events.error("request_failed", message=request.code, exc_info=error)
            return self._failed(conversation, request, BackendError())

    async def _dispatch(self, conversation: Conversation, request: Request, gated: bool) -> Answer:
        if isinstance(request, Login):
            return await self._login(conversation, request)
        session = conversation.session
        if session is None or gated:
            return self._before_login(conversation, request)
        terminal = session.terminal
        self._note_oddities(terminal, request)
        if request.code not in terminal.messages and request.code not in ALWAYS_SUPPORTED:
            offered = request.code in terminal.profile.messages
            if not offered:
                self.metrics.frames_rejected["not_allowed"] += 1
            key = "not_supported" if offered else "terminal_not_allowed"
            return self.refuse(conversation, request, key, "not_allowed")
        if isinstance(request, ScStatus) and not await self._is_ready(request):
            return self._offline(conversation, request)
        return await terminal.handlers[type(request)](session, request)

    def _note_oddities(self, terminal: TerminalView, request: Request) -> None:
        if request.extra_fields:
            self.metrics.unknown_fields += len(request.extra_fields)
        institution = getattr(request, "institution_id", "")
        if institution and institution != terminal.institution_id:
            self.metrics.foreign_institution += 1

    def refuse(
        self, conversation: Conversation, request: Request, text_key: str, reason: str
    ) -> Answer:
        """The failure form of `request`'s own response, with a text (B2, C27)."""
        terminal = conversation.terminal
        now = self._now(conversation)
        spoken = terminal.language if terminal else self.site.config.institution.language
        language = choose_language(getattr(request, "language", ""), None, spoken)
        text = self.site.texts.text(language, text_key)
        institution = self.site.config.institution.id
        return Answer(request.refused(institution, now, (text,)), "refused", reason)

    def _now(self, conversation: Conversation) -> datetime:
        terminal = conversation.terminal
        return self.clock.now(terminal.zone if terminal else self.site.config.zone)

    def _before_login(self, conversation: Conversation, request: Request) -> Answer:
        """Everything but 93, 99 and 97 is refused (B11, C26)."""
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

    async def _is_ready(self, request: ScStatus) -> bool:
        if not self.backend_up:
            await self.check_backend()
        return self.backend_up and not request.protocol_version.startswith(OLD_VERSIONS)

    def _offline(self, conversation: Conversation, request: ScStatus) -> Answer:
        """98 with on-line `N` and time-out 000: backend down, or a too old protocol (B15)."""
        if self.backend_up:
            return self.refuse(conversation, request, "old_protocol", "old_protocol")
        answer = self.refuse(conversation, request, "system", "unavailable")
        answer.outcome = "error"
        return answer

    def _failed(self, conversation: Conversation, request: Request, error: BackendError) -> Answer:
        """Negative, with "try again / ask staff"; or "not sure, ask staff" where nobody knows
        what becomes of it, and only there (B46, C59, C98).

        Only an exit lets out all the same (C67).
        """
        session = _session_of_door(conversation)
        if session is not None and isinstance(request, PatronStatusRequest | PatronInformation):
            answer = end_undecided(session, request)
            if answer is not None:
                return answer
        key, reason, outcome = "system", error.kind, "refused"
        if isinstance(error, OutcomeUnknownError):
            key = "unknown_outcome" if isinstance(request, FeePaid) else "unknown_outcome_item"
            reason = outcome = "unknown"
            self.on_unknown()
        if isinstance(request, FeePaid):
            self.metrics.payments[outcome, "own"] += 1
        answer = self.refuse(conversation, request, key, reason)
        answer.outcome = "error"
        return answer

    async def _door_without_backend(
        self, conversation: Conversation, request: Request, error: BackendError
    ) -> Answer | None:
        """What an entrance decides all the same (B40); None for everything else."""
        session = _session_of_door(conversation)
        if session is None or not isinstance(request, PatronStatusRequest | PatronInformation):
            return None
        try:
            return await decide_without_backend(session, request, error)
        except Exception as failure:
            self.metrics.backend_errors["answer", "bug"] += 1
            self.log.events.error("request_failed", message=request.code, exc_info=failure)
            return None

    def timed_out(self, conversation: Conversation, request: Request) -> Answer:
        """The answer when the deadline has passed before anything was written: a plain no.

        What was being written is waited for, or noted as unknown (`OutcomeUnknownError`), and
        what was written already is answered with yes: neither comes here (C98).
        """
        error = BackendTimeoutError("deadline")
        self.backend_failed(error, request.code)
        return self._failed(conversation, request, error)

    # Backend state -------------------------------------------------------------------------

    def backend_failed(self, error: BackendError, operation: str) -> None:
        """Count a failure and remember that the backend may be down (B15)."""
        self.metrics.backend_errors[operation, error.kind] += 1
        if error.kind == "unavailable":
            self.backend_up = False
        self.log.events.error(
            "backend_failed", operation=operation, kind=error.kind, exc_info=error
        )

    async def check_backend(self) -> None:
        """Ask the backend whether it works and remember the answer."""
        try:
            await self.backend.ping()
        except BackendError as error:
            if self.backend_up:
                self.backend_failed(error, "ping")
            self.backend_up = False
        else:
            if not self.backend_up:
                self.log.events.info("backend_up")
            self.backend_up = True

    # Login ---------------------------------------------------------------------------------

    async def _login(self, conversation: Conversation, request: Login) -> Answer:
        """Answer a 93 with a 94.  Spec: SIP2 2.00, message 93; B11, B12, C9, C28."""
        known = self.site.by_login.get(request.login_user_id)
        reason = await self._login_obstacle(conversation, request, known)
        if reason is None and known is not None:
            self.metrics.logins["ok"] += 1
            conversation.failed_logins = 0
            conversation.session = Session(self.services, known.view)
            self.log.events.info(
                "login",
                connection=conversation.number,
                terminal=known.view.name,
                address=conversation.address,
            )
            self.on_login(conversation)
            return Answer(LoginResponse(ok=True))
        conversation.session = None
        conversation.link.logged_in = False
        conversation.failed_logins += 1
        self.metrics.logins["refused"] += 1
        self.log.events.warning(
            "login_refused",
            connection=conversation.number,
            terminal=known.view.name if known is not None else "",
            address=conversation.address,
            reason=reason,
        )
        if conversation.failed_logins >= self.site.config.server.login_attempts:
            conversation.closing = "login_attempts"
        step_s = self.site.config.security.login_backoff_s
        delay = self._backoff.delay_after_failure(conversation.address, step_s)
        if delay:
            await asyncio.sleep(delay)
        return Answer(LoginResponse(ok=False), "refused", "login")

    async def _login_obstacle(
        self, conversation: Conversation, request: Login, known: KnownTerminal | None
    ) -> str | None:
        """Why the login is refused, for the log; None when it is good.

        The password is verified first whatever else is wrong, so that all refusals take as long.
        """
        if not await self._password_good(request, known):
            return "unknown_or_wrong_password"
        assert known is not None
        terminal = known.terminal
        if (request.uid_algorithm, request.pwd_algorithm) != ("0", "0"):
            return "algorithm"
        if not terminal.allows_address(conversation.address):
            return "network"
        if terminal.expired_at(self.clock.now()):
            return "expired"
        if terminal.location is not None and terminal.location != (request.location_code or ""):
            return "location"
        wanted = terminal.tls_client_name
        if wanted is not None and wanted not in conversation.client_names:
            return "client_certificate"
        return None

    async def _password_good(self, request: Login, known: KnownTerminal | None) -> bool:
        clear = known.terminal.password if known is not None else None
        hashed = known.terminal.password_hash if known is not None else None
        stored = clear or hashed
        return await self._passwords.check(
            request.login_user_id,
            stored.get_secret_value() if stored is not None else None,
            hashed is not None,
            request.login_password,
        )

    # Observing -----------------------------------------------------------------------------

    def observe(
        self, conversation: Conversation, code: str, answer: Answer, started: float
    ) -> None:
        """Count and log one answered request."""
        clock, metrics, log = self.clock, self.metrics, self.log
        seconds, epoch = clock.monotonic() - started, clock.epoch()
        terminal, profile, session = "", "", conversation.session
        if session is not None:
            terminal, profile = session.terminal.name, session.terminal.profile.name
            metrics.last_message[terminal] = epoch
        metrics.requests[code, profile, answer.outcome] += 1
        metrics.timer(code).observe(seconds)
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
            )
        )
