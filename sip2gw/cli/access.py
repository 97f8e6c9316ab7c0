"""What each command may do to the store: one declared fact for each (B70, C135).

`opened_store` opens the store accordingly, so a command that is declared to read cannot write, and
only one that is declared to make a store can make one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from sip2gw.cli.failures import saying_when_stopped

if TYPE_CHECKING:
    from sip2gw.backend.base import Access


class _Opens(NamedTuple):
    """What a command opens the store for."""

    access: Access | None
    """None: it does without the store."""
    given: Mapping[str, Access] = {}
    """What it is instead when an option is given, by the option's parameter."""


_NOTHING = _Opens(None)
_READS = _Opens("read")
_WRITES = _Opens("write")
_MAKES = _Opens("make")
_WRITES_UNLESS_DRY = _Opens("write", {"dry_run": "read"})

OPENS: Mapping[str, _Opens] = {
    "serve": _Opens("write", {"create": "make"}),
    "reload": _NOTHING,
    "drain": _NOTHING,
    "demo": _MAKES,
    "check": _READS,
    "import": _Opens("make", {"dry_run": "rehearse"}),
    "export": _READS,
    "explain": _READS,
    "backup": _READS,
    "restore": _MAKES,
    "maintain": _WRITES_UNLESS_DRY,
    "send": _NOTHING,
    "decode": _NOTHING,
    "dashboard": _NOTHING,
    "alerts": _NOTHING,
    "convert-config": _NOTHING,
    "hash-password": _NOTHING,
    "patron show": _READS,
    "patron set-pin": _WRITES,
    "patron block": _WRITES,
    "patron unblock": _WRITES,
    "patron report": _READS,
    "patron forget": _WRITES,
    "patron find": _READS,
    "patron merge": _WRITES_UNLESS_DRY,
    "badge define": _WRITES,
    "badge list": _READS,
    "badge activate": _WRITES,
    "badge deactivate": _WRITES,
    "badge assign": _WRITES_UNLESS_DRY,
    "badge unassign": _WRITES,
    "badge report": _READS,
    "badge history": _READS,
    "relationship add": _WRITES,
    "relationship confirm": _WRITES,
    "relationship remove": _WRITES,
    "relationship list": _READS,
    "membership list": _READS,
    "membership show": _READS,
    "membership add": _WRITES,
    "membership change": _WRITES,
    "membership hide": _WRITES,
    "payment list": _READS,
    "payment show": _READS,
    "payment undo": _WRITES,
    "payment refund": _WRITES,
    "payment totals": _READS,
    "payment reconcile": _Opens("read", {"settle": "write"}),
    "payment refused": _READS,
    "payment export": _Opens("read", {"done": "write"}),
    "review list": _READS,
    "review show": _READS,
    "review close": _WRITES,
    "support list": _READS,
    "support show": _READS,
    "support open": _WRITES,
    "support answer": _WRITES,
    "support status": _WRITES,
    "support close": _WRITES,
    "support table list": _READS,
    "support table add": _WRITES,
    "support table change": _WRITES,
    "outbox list": _READS,
    "outbox send": _WRITES,
    "branch close": _WRITES,
    "branch open": _WRITES,
    "branch reset": _WRITES,
    "branch list": _READS,
    "door log": _READS,
    "door stats": _READS,
    "door inside": _Opens("read", {"reveal": "write"}),
    "door reveals": _READS,
    "door bar add": _WRITES,
    "door bar remove": _WRITES,
    "door bar list": _READS,
    "door pass add": _WRITES,
    "door pass remove": _WRITES,
    "door pass list": _READS,
    "observe report": _READS,
    "terminal list": _NOTHING,
    "terminal kick": _NOTHING,
    "terminal trace": _NOTHING,
    "upstream check": _NOTHING,
    "upstream journal": _READS,
    "upstream status": _NOTHING,
    "token add": _WRITES,
    "token list": _READS,
    "token revoke": _WRITES,
    "audit": _READS,
}
"""Every command by its words. An option may make it another: who asks for names is written down."""

_LEFT: Mapping[Access | None, str] = {
    None: "nothing was changed",
    "read": "nothing was changed",
    "rehearse": "nothing was changed",
    "write": "what it says above is done; look whether the rest is, and give the command again",
    "make": "what it says above is done; look whether the rest is, and give the command again",
}
"""What a command leaves that is ended with Ctrl-C, unless it knows better."""


class Running(NamedTuple):
    """The command that runs."""

    words: str
    access: Access | None
    parameters: Mapping[str, Any]


_running: ContextVar[Running | None] = ContextVar("running command", default=None)


def running_command() -> Running:
    """The running command, and what it was given; outside of one, a nameless one that reads."""
    return _running.get() or Running("", "read", {})


def running_access() -> Access:
    """What the running command may do to the store."""
    access = running_command().access
    assert access is not None, "a command that is declared to do without the store"
    return access


def declared(words: str, callback: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind the command `words`; while it runs, `running_access` says what it may."""
    opens = OPENS[words]

    def run(*args: Any, **options: Any) -> Any:
        access = next(
            (other for name, other in opens.given.items() if options.get(name)), opens.access
        )
        command = Running(words, access, options)
        with _as_declared(command), saying_when_stopped(lambda: _LEFT[access]):
            return callback(*args, **options)

    return run


@contextmanager
def _as_declared(command: Running) -> Iterator[None]:
    token = _running.set(command)
    try:
        yield
    finally:
        _running.reset(token)
