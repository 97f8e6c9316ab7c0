"""What every message has: unknown fields, a safe repr and, for a request, its refusal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct

from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.structs import Room


class Message(Room, Struct, kw_only=True):
    """A message of either side. `repr` shows no sensitive value and no unknown field (B16)."""

    code: ClassVar[str]

    extra_fields: list[tuple[str, bytes]] = []
    """Fields that the message does not know, and repetitions of one that may stand only once
    (the first counts): tag and value byte for byte (B1). They may hold secrets."""

    def __repr__(self) -> str:
        layout = layout_of(type(self))
        shown = ", ".join(
            f"{name}=***" if name in layout.sensitive else f"{name}={getattr(self, name)!r}"
            for name in layout.attributes
        )
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Every struct has this method, too, and there it shows everything.
        return []


class Response(Message):
    """What the gateway says."""


class Verbatim(Response):
    """An answer that somebody else has written, to be sent as it is (C126).

    Without a body there is no answer: the terminal hears nothing.
    """

    code: ClassVar[str] = ""

    body: bytes = b""
    """Without AY, AZ and line end. It may hold secrets."""

    def __repr__(self) -> str:
        return f"Verbatim({len(self.body)} bytes)"


_ECHOED = ("language", "patron_identifier", "item_identifier", "transaction_id")
"""What a refusal repeats of the request, as far as both messages have it (C27)."""


class Request(Message):
    """What a terminal says."""

    response: ClassVar[type[Response]]

    def failure_form(self, institution_id: str, now: datetime, texts: tuple[str, ...]) -> Response:
        """The response to this request in failure form, with `texts` as AF (B2, C27).

        The defaults of a response *are* its failure form; this adds who, when and why.
        """
        known = self.response.__struct_fields__
        values: dict[str, Any] = {
            "institution_id": institution_id,
            "transaction_date": now,
            "screen_message": texts,
        }
        for name in _ECHOED:
            values[name] = getattr(self, name, None)
        return self.response(
            **{name: value for name, value in values.items() if name in known and value is not None}
        )


class UnknownRequest(Request):
    """A request whose command is not one of ours, for those who only hand it on (C126).

    Nobody knows what a refusal of it looks like, so it gets none (B2).
    """

    code: ClassVar[str] = "other"
    """No command: a terminal must not invent labels of metrics (C74)."""
    response: ClassVar[type[Response]] = Verbatim

    def failure_form(self, institution_id: str, now: datetime, texts: tuple[str, ...]) -> Response:
        """No answer."""
        return Verbatim()
