"""A session keeps the line on which it was served last, as long as nobody needs it (C122)."""

from __future__ import annotations

from sip2gw.backend.system import Lease
from sip2gw.backend.upstream.line import Job, Line, Owner
from sip2gw.protocol.messages import EndPatronSession

LEASE_S = 60.0
_END = EndPatronSession.code.encode()


def leased_line(lease: Lease, job: Job, owner: Owner, now: float) -> Line | None:
    """The line of `owner` that the session with `lease`, whose `job` it is, has leased, if it is
    free.

    Another patron goes on with it: nobody else needs it now. A lease that is over is ended, and so
    is that of another patron whose line is in use.
    """
    if lease.line is None:
        return None
    line: Line = lease.line
    is_here = line.owner is owner and not line.is_over and now < lease.until_s
    if is_here and line.job is None:
        return line
    card = job.asked.patron
    if not is_here or (card and card != lease.card):
        end(lease)
    return None


def served(lease: Lease, job: Job, line: Line, now: float) -> None:
    """`job` was answered on `line`: begin its lease, go on with it, or end it."""
    card = job.asked.patron
    if job.body.startswith(_END) or line.is_over:
        end(lease)
    elif card or lease.line is line:
        if lease.line is not line:
            give(line, lease)
        lease.card = card or lease.card
        lease.until_s = now + LEASE_S


def give(line: Line, lease: Lease | None) -> None:
    """From now on `line` belongs to `lease` and to no other."""
    if line.lease is not None and line.lease is not lease:
        line.lease.line = None
    if lease is not None and lease.line is not None and lease.line is not line:
        lease.line.lease = None
    line.lease = lease
    if lease is not None:
        lease.line = line


def take(line: Line, lease: Lease | None) -> bool:
    """`line` is to serve whoever has `lease`; whether that takes it from another who leased it."""
    if line.lease is None or line.lease is lease:
        return False
    end(line.lease)
    return True


def end(lease: Lease) -> None:
    """Nobody is preferred on its line any more."""
    if lease.line is not None:
        lease.line.lease = None
    lease.line, lease.card = None, b""
