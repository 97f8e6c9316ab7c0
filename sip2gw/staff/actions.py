"""What people and programs may do, by command or by REST: one declared fact for each (B83, B84).

The words are those of the command. By REST the same action has the same role, and leaves the same
line in the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sip2gw.model.rights import Role


class Action(NamedTuple):
    """One thing to do."""

    role: Role
    """What a token must be good for at least."""
    does: Literal["reads", "changes", "decides"]
    """What is decided at a door has a log of its own, the door log."""
    shows_persons: bool = True
    """Whether the result says something about patrons."""
    patron: str = ""
    """The parameter that names a patron, by id or any card."""
    object: str = ""
    """The parameter that names what else it is about: an id or a code, nothing that tells more.
    What only the work finds out, it notes itself (`note_object`)."""

    @property
    def is_audited(self) -> bool:
        """Whether the audit log has a line of it."""
        return self.does == "changes" or self.shows_persons


def _view(*, patron: str = "", object: str = "", shows_persons: bool = False) -> Action:
    return Action(Role.VIEW, "reads", shows_persons, patron, object)


def _reads(patron: str = "", object: str = "") -> Action:
    return Action(Role.STAFF, "reads", True, patron, object)


def _changes(role: Role, *, patron: str = "", object: str = "") -> Action:
    return Action(role, "changes", True, patron, object)


_STAFF, _ADMIN, _SELF = Role.STAFF, Role.ADMIN, Role.SELF

ACTIONS: Mapping[str, Action] = {
    "reload": _changes(_ADMIN),
    "export": Action(_ADMIN, "reads"),
    "import": _changes(_ADMIN),
    "maintain": _changes(_ADMIN),
    "explain": _reads("card"),
    "patron show": _reads("patron_id"),
    "patron set-pin": _changes(_STAFF, patron="patron_id"),
    "patron block": _changes(_STAFF, patron="patron_id"),
    "patron unblock": _changes(_STAFF, patron="patron_id"),
    "patron report": _reads("patron_id"),
    "patron forget": _changes(_ADMIN, patron="patron_id"),
    "patron find": _reads(),
    "patron merge": _changes(_ADMIN, patron="lasting"),
    "badge define": _changes(_ADMIN, object="code"),
    "badge list": _view(),
    "badge activate": _changes(_ADMIN, object="code"),
    "badge deactivate": _changes(_ADMIN, object="code"),
    "badge assign": _changes(_STAFF, patron="patron_id", object="code"),
    "badge unassign": _changes(_STAFF, patron="patron_id", object="code"),
    "badge report": _reads(object="code"),
    "badge history": _reads("patron", object="code"),
    "relationship add": _changes(_STAFF, patron="from_card"),
    "relationship confirm": _changes(_STAFF, patron="from_card"),
    "relationship remove": _changes(_STAFF, patron="from_card"),
    "relationship list": _reads("patron"),
    "membership list": _view(),
    "membership show": _view(object="code"),
    "membership add": _changes(_ADMIN),
    "membership change": _changes(_ADMIN, object="code"),
    "membership hide": _changes(_ADMIN, object="code"),
    "payment list": _view(patron="patron", shows_persons=True),
    "payment show": _view(object="payment_id", shows_persons=True),
    "payment undo": _changes(_STAFF, object="payment_id"),
    "payment refund": _changes(_STAFF, object="fee_id"),
    "payment totals": _view(),
    "payment reconcile": _reads(),
    "payment reconcile --settle": _changes(_STAFF, object="settle"),
    "payment refused": _reads(),
    "payment export": _reads(),
    "payment export --done": _changes(_STAFF),
    "review list": _reads(),
    "review show": _reads(object="review_id"),
    "review close": _changes(_STAFF),
    "support list": _reads(),
    "support show": _reads(object="message_id"),
    "support open": _changes(_STAFF, patron="patron"),
    "support answer": _changes(_STAFF, object="message_id"),
    "support status": _changes(_STAFF, object="message_id"),
    "support close": _changes(_STAFF),
    "support table list": _view(),
    "support table add": _changes(_ADMIN),
    "support table change": _changes(_ADMIN),
    "outbox list": _reads(),
    "outbox send": _changes(_STAFF),
    "branch close": _changes(_STAFF, object="branch"),
    "branch open": _changes(_STAFF, object="branch"),
    "branch reset": _changes(_STAFF, object="branch"),
    "branch list": _view(),
    "door log": _view(patron="patron", shows_persons=True),
    "door stats": _view(),
    "door inside": _reads(object="branch"),
    "door decide": Action(_STAFF, "decides", False),
    "door reveals": Action(_ADMIN, "reads", False),
    "door bar add": _changes(_STAFF, patron="card", object="branch"),
    "door bar remove": _changes(_STAFF, patron="card", object="branch"),
    "door bar list": _reads(object="branch"),
    "door pass add": _changes(_STAFF, patron="card", object="branch"),
    "door pass remove": _changes(_STAFF, patron="card", object="branch"),
    "door pass list": _reads(object="branch"),
    "observe report": _view(),
    "terminal list": _view(),
    "terminal kick": _changes(_ADMIN, object="login"),
    "terminal trace": Action(_ADMIN, "reads", True, "", "login"),
    "upstream status": _view(),
    "upstream journal": _reads(),
    "token add": _changes(_ADMIN, object="name"),
    "token list": Action(_ADMIN, "reads", False),
    "token revoke": _changes(_ADMIN, object="name"),
    "payment stream": _view(),
    "door stream": _view(),
    "terminal stream": _view(),
    "self authorisations": Action(_SELF, "reads", True, "patron"),
    "self propose": _changes(_SELF, patron="patron"),
    "self confirm": _changes(_SELF, patron="patron"),
    "self withdraw": _changes(_SELF, patron="patron"),
    "self messages": Action(_SELF, "reads", True, "patron"),
    "self ask": _changes(_SELF, patron="patron"),
    "self house-rules": _changes(_SELF, patron="patron"),
    "audit": Action(_ADMIN, "reads", True, "patron", "who"),
}
"""By the words of the command. `serve demo check backup restore send decode` and the like, which
work with files and processes of their machine, are commands only. With an option that makes it
another thing, a command has a row of its own."""

REST_ONLY = frozenset(
    words
    for words, action in ACTIONS.items()
    if action.role is _SELF or action.does == "decides" or words.endswith(" stream")
)
"""No commands."""
