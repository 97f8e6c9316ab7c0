"""Where the database is and how to talk to it."""

from __future__ import annotations

import os
import socket

import asyncpg
from msgspec import Struct

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.postgres.failures import FAILURES, as_backend_error
from sip2gw.foundation.urls import database_of
from sip2gw.protocol.structs import Discreet, Hidden

CONNECT_TIMEOUT_S = 3.0
PATIENCE_S = 0.5
"""Longer than the server's own time-out, after which nobody knows what became of a statement."""

SERVER_VERSION_MIN = 13


class Address(Discreet, Struct, frozen=True):
    """A PostgreSQL URL with its password; `repr` shows neither."""

    url: Hidden[str]
    """`postgresql://user@host[,host…]/database`; the first host that takes writes is used."""
    password: Hidden[str | None] = None
    read_only: bool = False
    """Whether connections refuse to write, and wait for no lock for long (C135)."""

    async def connect(self, *, statement_timeout_s: float | None) -> asyncpg.Connection:
        """A new connection; its statements are cancelled after `statement_timeout_s`.

        Raises:
            UnavailableError: no server that accepts writes, or none that accepts us.
        """
        settings = {
            "application_name": "sip2gw",
            "jit": "off",
            "statement_timeout": f"{int((statement_timeout_s or 0) * 1000)}ms",
            "default_transaction_isolation": "read committed",
            "timezone": "UTC",
        }
        try:
            connection = await asyncpg.connect(
                self.url,
                password=self.password,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=statement_timeout_s and statement_timeout_s + PATIENCE_S,
                server_settings=settings,
                target_session_attrs="read-write",
            )
        except (*FAILURES, ValueError) as error:
            raise UnavailableError(_why_not(self.url, error)) from None
        try:
            await connection.execute(_ONLY_READ if self.read_only else _KEEP_PROMISES)
        except FAILURES as error:
            connection.terminate()
            raise as_backend_error(error) from None
        return connection


_KEEP_PROMISES = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'"""
"""What was answered is durable, whatever the server does by default."""

_ONLY_READ = """
    SELECT set_config('default_transaction_read_only', 'on', false),
           set_config('lock_timeout', '3s', false)"""
"""Set only now, because a server that takes no writes is refused before."""


def insist_on_server(connection: asyncpg.Connection) -> None:
    """Refuse servers that cannot keep a library.

    Raises:
        BackendError: too old, or texts are not UTF-8.
    """
    version = connection.get_server_version().major
    if version < SERVER_VERSION_MIN:
        raise BackendError(
            f"the store needs PostgreSQL {SERVER_VERSION_MIN} or later; the server has {version}"
        )
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise BackendError(f"the database's encoding must be UTF8, not {encoding}")


def _why_not(url: str, error: BaseException) -> str:
    """What is wrong and what to do; a server refuses in its own words, which quote no data."""
    name = type(error).__name__
    if isinstance(error, TimeoutError):
        reason = f"no answer within {CONNECT_TIMEOUT_S:g} s"
    elif isinstance(error, socket.gaierror):
        reason = "its name cannot be resolved; correct the host in store.url, or the name service"
    elif isinstance(error, OSError):
        words = os.strerror(error.errno) if error.errno else str(error)
        reason = f"{words}; start the server there, or correct store.url"
    elif isinstance(error, asyncpg.InvalidCatalogNameError):
        reason = "the server has no database of that name; make it, or correct store.url"
    elif isinstance(error, asyncpg.PostgresError):
        reason = f"the server says: {error.args[0]}"
    else:
        reason = name
    return f"the database {database_of(url)} cannot be reached: {reason}"
