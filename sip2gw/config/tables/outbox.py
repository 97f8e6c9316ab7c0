"""`[outbox]`: how notices reach patrons (B63, C162)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema

from sip2gw.config.types import (
    Address,
    AddressText,
    FileName,
    Language,
    Name,
    Section,
    parse_address,
)
from sip2gw.model.notices import Channel
from sip2gw.policy.members.deliveries import is_address
from sip2gw.texts.notices import allowed_names, template_problem

NoticeKind = Literal["CAO", "CAE", "CAT", "CAJ", "LIMIT", "AGE", "END", "BADGE"]

_NAMED = re.compile(r"([^<>\"]*)<([^<>]*)>")


class Sender(NamedTuple):
    """Who e-mail comes from."""

    name: str
    """May be empty."""
    address: str

    @property
    def domain(self) -> str:
        """Behind the @."""
        return self.address.rpartition("@")[2]


def parse_sender(text: str) -> Sender:
    """Read `library@example.org` or `The library <library@example.org>`.

    Raises:
        ValueError: the text has another form.
    """
    match = _NAMED.fullmatch(text)
    sender = Sender(match[1].strip(), match[2].strip()) if match else Sender("", text.strip())
    if not text.isprintable() or not is_address(sender.address):
        raise ValueError("must be an address, or a name and an address in <>")
    return sender


def _check_sender(text: str) -> str:
    parse_sender(text)
    return text


def _check_webhook(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or not _is_plain(text):
        raise ValueError("must be an address http://… or https://…")
    if url.username is not None or url.fragment:
        raise ValueError("must not contain a login or a #; use webhook_token_file")
    _ = url.port  # raises ValueError for one that cannot be
    return text


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _check_server(text: str) -> str:
    if parse_address(text).port == 0:
        raise ValueError("needs the port of the mail server")
    return text


class NoticeText(Section):
    """A subject and a text of the library's own."""

    subject: str | None = Field(default=None, max_length=200, description="The subject.")
    text: str | None = Field(default=None, max_length=10_000, description="The text.")


class OutboxSection(Section):
    """How notices reach patrons: by e-mail, or to a program of yours. Neither: they wait."""

    smtp: Annotated[AddressText, AfterValidator(_check_server)] | None = Field(
        default=None, description="Mail server that notices are handed to, as `host:port`."
    )
    smtp_tls: Literal["none", "starttls", "tls"] = Field(
        default="starttls",
        description="How the connection is encrypted: by STARTTLS, from the start (tls), or not at"
        " all. The certificate is always checked, and nothing is sent if this fails.",
    )
    smtp_login: Name | None = Field(
        default=None, repr=False, description="Login at the mail server, if it wants one."
    )
    smtp_password_file: FileName | None = Field(
        default=None, description="File with the password of that login."
    )
    sender: (
        Annotated[
            str,
            AfterValidator(_check_sender),
            WithJsonSchema({"type": "string", "format": "address, or name <address>"}),
        ]
        | None
    ) = Field(default=None, description="Sender of the e-mail; failed e-mail comes back to it.")
    webhook: (
        Annotated[
            str,
            AfterValidator(_check_webhook),
            WithJsonSchema({"type": "string", "format": "URL", "writeOnly": True}),
        ]
        | None
    ) = Field(
        default=None,
        repr=False,
        description="Address of a program that gets each notice as JSON by POST, instead of"
        " `smtp`.",
    )
    webhook_token_file: FileName | None = Field(
        default=None, description="File with a bearer token for the webhook."
    )
    retry_max_h: int = Field(
        default=72,
        ge=1,
        le=720,
        description="Hours for which a notice that was not taken is tried again, at growing"
        " intervals. Then it has failed.",
    )
    texts: dict[NoticeKind, dict[Language, NoticeText]] = Field(
        default={},
        description="Your own words: `[outbox.texts.CAO.nl]` with `subject`, `text` or both.",
    )

    @property
    def channel(self) -> Channel | None:
        """How notices are delivered; None: not at all."""
        if self.smtp is not None:
            return Channel.EMAIL
        return Channel.WEBHOOK if self.webhook is not None else None

    @property
    def server(self) -> Address:
        """`smtp`, read; there must be one."""
        assert self.smtp is not None
        return parse_address(self.smtp)

    @property
    def from_whom(self) -> Sender:
        """`sender`, read; there must be one."""
        assert self.sender is not None
        return parse_sender(self.sender)

    @property
    def url(self) -> SplitResult:
        """`webhook`, read; there must be one."""
        assert self.webhook is not None
        return urlsplit(self.webhook)

    def own_text(self, kind: str, language: str) -> NoticeText | None:
        """The library's own words for a kind of notice, if it has any."""
        for known, by_language in self.texts.items():
            for spoken, own in by_language.items():
                if (known, spoken) == (kind, language):
                    return own
        return None


class OutboxProblem(NamedTuple):
    """What is wrong, and where, below `outbox`."""

    key: str
    message: str
    got: str | None = None
    allowed: str = ""


def outbox_problems(outbox: OutboxSection) -> Iterator[OutboxProblem]:
    """What does not go together, and wrong templates."""
    if outbox.smtp is not None and outbox.webhook is not None:
        yield OutboxProblem("webhook", "notices can go to one place only; keep smtp or webhook")
    if outbox.smtp is not None:
        yield from _mail_problems(outbox, outbox.server.host)
    elif outbox.smtp_login is not None or outbox.smtp_password_file is not None:
        yield OutboxProblem("smtp", "is required with smtp_login and smtp_password_file")
    if outbox.webhook_token_file is not None:
        if outbox.webhook is None:
            yield OutboxProblem("webhook", "is required with webhook_token_file")
        elif outbox.url.scheme == "http" and not _is_here(outbox.url.hostname or ""):
            yield OutboxProblem(
                "webhook", "the token would be sent without encryption", allowed="https://…"
            )
    for kind, by_language in outbox.texts.items():
        for language, own in by_language.items():
            for name, text in (("subject", own.subject), ("text", own.text)):
                problem = text is not None and template_problem(
                    kind, text, one_line=name == "subject"
                )
                if problem:
                    names = " ".join(f"{{{known}}}" for known in allowed_names(kind))
                    yield OutboxProblem(
                        f"texts.{kind}.{language}.{name}", problem, text, f"text with {names}"
                    )


def _mail_problems(outbox: OutboxSection, host: str) -> Iterator[OutboxProblem]:
    if outbox.sender is None:
        yield OutboxProblem("sender", "is required with smtp")
    if (outbox.smtp_login is None) != (outbox.smtp_password_file is None):
        yield OutboxProblem("smtp_login", "goes with smtp_password_file; give both or neither")
    if outbox.smtp_login is not None and outbox.smtp_tls == "none" and not _is_here(host):
        yield OutboxProblem(
            "smtp_tls",
            "the password would be sent without encryption",
            "none",
            '"starttls" | "tls"',
        )


def _is_here(host: str) -> bool:
    """Whether nobody else can listen in on a connection to `host`: it is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
