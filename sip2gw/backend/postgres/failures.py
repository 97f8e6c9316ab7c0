"""Failures between us and PostgreSQL, as errors of the port.

The messages name kinds and constraints only: the server's own texts may quote values.
"""

from __future__ import annotations

import asyncpg

from sip2gw.backend.base import BackendError, UnavailableError

LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
)
"""The connection is gone, or nobody knows: what was asked may have happened or not."""

CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""Nothing was changed and the next try may succeed."""

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, *LOST)
"""Everything that asyncpg and the network raise."""

_UNAVAILABLE = (
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


class ConflictError(BackendError):
    """Other writers were faster again and again; nothing was changed."""

    kind = "conflict"


def as_backend_error(error: BaseException) -> BackendError:
    """`error` without the server's text."""
    name = type(error).__name__
    if isinstance(error, LOST):
        return UnavailableError(f"the connection to the database was lost ({name})")
    if isinstance(error, CONFLICTS):
        return ConflictError("other gateways kept changing the same data; try again")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return UnavailableError(
            "another program holds a lock in the database for too long: wait until that has ended,"
            " or end it (pg_stat_activity shows it), and try again"
        )
    if isinstance(error, _UNAVAILABLE):
        # About rights, space and states; the server's first line of these quotes no data.
        return UnavailableError(f"the database could not carry it out: {error.args[0]}")
    if isinstance(error, asyncpg.RaiseError):
        return BackendError(f"the store refused: {error.args[0]}")  # a text of our own
    constraint = getattr(error, "constraint_name", None)
    return BackendError(f"the store refused: {name}" + (f" ({constraint})" if constraint else ""))
