"""How a line is opened: TCP, TLS and login, each within a time limit (B71, C152, C158)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping

from sip2gw.backend.system import BadAnswerError, LibrarySystemError, NoAnswerError
from sip2gw.backend.upstream.line import Line
from sip2gw.config.tables.upstream import Account, UpstreamTls
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import Login, LoginResponse, ScStatus

Say = Callable[[Line, Request], Awaitable[Response]]
"""Asks on a line that is not logged in yet; raises as `LibrarySystem.ask`."""

ORDERS: Mapping[str, tuple[type[Request], ...]] = {
    "login": (Login, ScStatus),
    "status_first": (ScStatus, Login, ScStatus),
    "none": (ScStatus,),
}
"""What is said first, by `login_order`."""


class RefusedError(Exception):
    """The library system has answered 940."""


class NoStatusError(Exception):
    """A library system without a login does not answer a 99, so the line is of no use any more;
    without the 99 the next one may be."""


def problem_of(error: Exception) -> str:
    """Why a line was not opened, or did not serve: for the log, and never what was said on it."""
    match error:
        case RefusedError():
            return "the login was refused"
        case BadAnswerError():
            return "an answer could not be trusted"
        case LibrarySystemError() | NoStatusError() | TimeoutError():
            return "no answer in time, or the line was closed"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'it broke off'})"
        case OSError():
            return f"nobody answers there ({error.strerror or type(error).__name__})"
        case _:
            return type(error).__name__


def client_context(tls: UpstreamTls) -> ssl.SSLContext:
    """Whom we trust, and our certificate."""
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


async def connect(account: Account, context: ssl.SSLContext | None, line: Line) -> None:
    """Connect `line`.

    Raises:
        OSError: nobody is there, or TLS fails.
        TimeoutError: it takes longer than an answer may.
    """
    named = account.tls.name if account.tls is not None else None
    async with asyncio.timeout(account.timeout_s):
        await asyncio.get_running_loop().create_connection(
            lambda: line,
            account.address.host,
            account.address.port,
            ssl=context,
            server_hostname=(named or account.address.host) if context is not None else None,
        )


async def log_in(account: Account, line: Line, say: Say, *, with_status: bool) -> None:
    """Say what comes before all else, a 99 only `with_status` where no login comes.

    Raises:
        RefusedError: the login was not accepted.
        NoStatusError: no login is needed, and the 99 was not answered.
        LibrarySystemError: the library system answers nothing, or nonsense.
    """
    for kind in ORDERS[account.login_order]:
        if kind is Login:
            answer = await say(line, login_of(account))
            if isinstance(answer, LoginResponse) and not answer.ok:
                raise RefusedError
        elif account.login_order != "none":
            await say(line, ScStatus())
        elif with_status:
            try:
                await say(line, ScStatus())
            except NoAnswerError:
                raise NoStatusError from None


def login_of(account: Account) -> Login:
    """The 93."""
    return Login(
        uid_algorithm=account.login_algorithm,
        pwd_algorithm=account.login_algorithm,
        login_user_id=account.login,
        login_password=account.password.get_secret_value() if account.password else "",
        location_code=account.location,
    )
