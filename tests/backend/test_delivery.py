"""Each notice is handed over once, whatever the other side does, on both databases (B63, C162)."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import mail_server
import pytest
import trustme
import webhook_server
from mail_server import MailServer
from msgspec.structs import replace
from webhook_server import WebhookServer

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.library import Library
from sip2gw.config import Config, load_config
from sip2gw.config.tables.outbox import Sender
from sip2gw.config.types import Address
from sip2gw.model.notices import (
    KeptNotice,
    Notice,
    NoticeState,
    Result,
)
from sip2gw.staff.delivery import courier as courier_module
from sip2gw.staff.delivery.channel import DeliveryChannel
from sip2gw.staff.delivery.courier import Courier, open_channel
from sip2gw.staff.delivery.mail import Mail, MailSettings
from sip2gw.staff.delivery.webhook import Webhook

from .library import NOW, load
from .test_outbox import put

BADGE = {"badge": "Open library", "until": "2026-03-31"}
SENT, WAITING, FAILED = NoticeState.SENT, NoticeState.WAITING, NoticeState.FAILED
SETTINGS = MailSettings(
    Address("127.0.0.1", 0), "none", None, None, Sender("Hub", "hub@example.org"), answer_s=0.3
)


class Watch:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def config(tmp_path) -> Config:
    file = tmp_path / "outbox.toml"
    file.write_text('[institution]\nid = "HUB"\nname = "Hub"\n[outbox]\nretry_max_h = 1\n')
    return load_config(file)


async def with_notices(library: Library, number: int) -> None:
    """So many patrons with an address, and a notice for each."""
    people = [
        {"kind": "patron", "id": f"E{n}", "name": f"Eva {n}", "email": f"eva{n}@example.org"}
        for n in range(number)
    ]
    assert load(library, *people).errors == ()
    assert await put(library, *(Notice("BADGE", f"E{n}", "x", BADGE) for n in range(number)))


def mail(server: MailServer, **changes: Any) -> Mail:
    return Mail(replace(SETTINGS, server=Address("127.0.0.1", server.port), **changes))


def webhook(
    server: WebhookServer, token: str | None = None, scheme: str = "http", answer_s: float = 0.3
) -> Webhook:
    url = urlsplit(f"{scheme}://127.0.0.1:{server.port}/in?x=1")
    return Webhook(url, token, answer_s=answer_s, attempt_s=answer_s + 0.2)


async def delivered(
    library: Library, channel: DeliveryChannel, config: Config, watch: Watch, due: bool = True
) -> list[Result]:
    """One run of a process; what became of each notice."""
    run = Courier(library, channel, config, watch).run(only_due=due)
    return [result async for _, result in run]


async def until_sent(
    library: Library, channel: DeliveryChannel, config: Config, watch: Watch
) -> list[str]:
    """Run as often as it takes, as time goes by; the problems on the way."""
    problems = []
    for _ in range(20):
        results = await delivered(library, channel, config, watch)
        problems += [result.problem for result in results if result.state is not SENT]
        if all(kept.state is SENT for kept in library.notices()):
            return problems
        watch.now += timedelta(minutes=5)
    raise AssertionError(problems)


def only(library: Library) -> KeptNotice:
    (kept,) = library.notices()
    return kept


# E-mail


async def test_an_e_mail_says_what_it_should_to_whom_it_should(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 1)
    async with MailServer().running() as server:
        (result,) = await delivered(library, mail(server), config, watch)
    assert result == Result(SENT, to="eva0@example.org")
    (message,) = server.messages
    assert (message["From"], message["To"]) == ("Hub <hub@example.org>", "eva0@example.org")
    assert message["Subject"] == "Uw toegang loopt af"
    assert message["Message-ID"] == f"<{only(library).id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "nl"
    assert message.get_content().splitlines()[:3] == [
        "Beste Eva 0,",
        "",
        "Open library is voor u geldig tot en met 31-03-2026.",
    ]
    assert server.recipients == ["RCPT TO:<eva0@example.org>"]
    assert only(library).to == "eva0@example.org"


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (mail_server.HANG_UP, "the mail server closed the connection"),
        (mail_server.BUSY, "the mail server answered 421"),
        (mail_server.GIBBERISH, "the mail server does not answer as mail servers do"),
        (mail_server.HANG, "the mail server did not answer in time"),
        (mail_server.HANG_AT_RCPT, "the mail server did not answer in time"),
        (mail_server.DROP_BEFORE_DATA, "the mail server closed the connection"),
        (mail_server.DROP_AFTER_DATA, "the mail server closed the connection"),
        (mail_server.RCPT_451, "the mail server refused the address with 451"),
        (mail_server.RCPT_550, "the mail server refused the address with 550"),
        (mail_server.DATA_554, "the mail server refused the e-mail with 554"),
    ],
)
async def test_each_notice_is_taken_once_by_a_server_that_fails_at_first(
    library: Library, config: Config, watch: Watch, behaviour: str, problem: str
) -> None:
    await with_notices(library, 3)
    behaviours = [behaviour, behaviour, mail_server.TAKE]
    async with MailServer(behaviours).running() as server:
        assert await until_sent(library, mail(server), config, watch) == [problem, problem]
        assert await delivered(library, mail(server), config, watch) == []
    assert len(server.taken) == 3
    assert set(server.taken.values()) == {1}
    assert set(server.unconfirmed) <= set(server.taken)
    dropped = 2 if behaviour == mail_server.DROP_AFTER_DATA else 0
    assert sum(server.unconfirmed.values()) == dropped


async def test_a_server_that_is_not_there_is_tried_with_one_notice(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 3)
    async with MailServer().running() as server:
        pass
    (result,) = await delivered(library, mail(server), config, watch)
    assert result.problem == "no connection to the mail server: Connection refused"
    assert result.next_try == NOW + timedelta(minutes=1)
    assert sorted(kept.attempts for kept in library.notices()) == [0, 0, 1]
    async with server.running():
        await until_sent(library, mail(server), config, watch)
    assert set(server.taken.values()) == {1}


async def test_a_refused_notice_does_not_keep_others_from_being_sent(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 3)
    async with MailServer([mail_server.RCPT_550, mail_server.TAKE]).running() as server:
        results = await delivered(library, mail(server), config, watch)
    assert [result.state for result in results] == [WAITING, SENT, SENT]


async def test_a_notice_that_is_never_taken_fails_in_the_end(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 1)
    tries = []
    async with MailServer([mail_server.RCPT_550]).running() as server:
        while only(library).state is WAITING:
            tries.append((watch.now - NOW) // timedelta(minutes=1))
            (result,) = await delivered(library, mail(server), config, watch)
            assert await delivered(library, mail(server), config, watch) == []
            watch.now = result.next_try or watch.now
    assert tries == [0, 1, 3, 7, 15, 31, 60]
    assert only(library).state is FAILED
    assert only(library).problem == "the mail server refused the address with 550"
    assert sum(server.taken.values()) == 0


@pytest.mark.parametrize(
    ("email", "problem"),
    [
        (None, "the e-mail address is missing"),
        ("  ", "the e-mail address is missing"),
        ("eva@example.org, bob@example.org", "the e-mail address is not one that can be used"),
    ],
)
async def test_a_patron_without_an_address_gets_no_e_mail(
    library: Library, config: Config, watch: Watch, email: str | None, problem: str
) -> None:
    load(library, {"kind": "patron", "id": "E0", "name": "Eva", "email": email})
    await put(library, Notice("BADGE", "E0", "x", BADGE))
    async with MailServer().running() as server:
        (result,) = await delivered(library, mail(server), config, watch)
        assert server.connections == 0
    assert (result.state, result.problem) == (NoticeState.UNDELIVERABLE, problem)


async def test_blanks_around_an_address_do_not_count(
    library: Library, config: Config, watch: Watch
) -> None:
    load(library, {"kind": "patron", "id": "E0", "name": "Eva", "email": " eva@example.org\n"})
    await put(library, Notice("BADGE", "E0", "x", BADGE))
    async with MailServer().running() as server:
        await delivered(library, mail(server), config, watch)
    assert server.recipients == ["RCPT TO:<eva@example.org>"]


async def test_a_patron_who_is_gone_gets_nothing(
    library: Library, config: Config, watch: Watch
) -> None:
    await put(library, Notice("BADGE", "nobody", "x", BADGE))
    async with WebhookServer().running() as server:
        (result,) = await delivered(library, webhook(server), config, watch)
    assert result == Result(NoticeState.UNDELIVERABLE, "the patron is gone")


async def test_no_name_can_add_a_header_or_a_recipient(
    library: Library, config: Config, watch: Watch
) -> None:
    name = "Eva\r\nBcc: all@example.org\r\n.\r\nMAIL FROM:<x@example.org>"
    load(
        library,
        {"kind": "patron", "id": "E0", "name": name, "email": "e@example.org", "language": "en"},
    )
    texts = '[outbox.texts.BADGE.en]\nsubject = "For {name}"\ntext = "{name}\\n.\\n{badge}"\n'
    config.path.write_text(f'[institution]\nid = "HUB"\n{texts}')
    await put(library, Notice("BADGE", "E0", "x", BADGE))
    async with MailServer().running() as server:
        (result,) = await delivered(library, mail(server), load_config(config.path), watch)
    assert result.state is SENT
    (message,) = server.messages
    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]
    assert message["Subject"].startswith("For Eva")
    assert server.said == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_values_that_cannot_be_read_keep_no_other_notice_from_being_sent(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 1)
    await put(library, Notice("BADGE", "E0", "a", {"badge": "x", "until": "soon"}))
    async with MailServer().running() as server:
        results = await delivered(library, mail(server), config, watch)
    assert Counter(result.state for result in results) == {SENT: 1, FAILED: 1}
    assert {result.problem for result in results} == {"", "its values cannot be read"}


# TLS and login


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path) -> trustme.CA:
    """An authority that the system trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def server_side(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_login_and_e_mail_go_over_tls(
    store: Library, config: Config, watch: Watch, authority: trustme.CA, tls: Any
) -> None:
    await with_notices(store, 1)
    server = MailServer(
        tls=server_side(authority), from_start=tls == "tls", login=("hub", "canary")
    )
    async with server.running():
        channel = mail(server, tls=tls, login="hub", password="canary")
        (result,) = await delivered(store, channel, config, watch)
    assert result.state is SENT
    assert {"AUTH (TLS)", "MAIL (TLS)", "DATA (TLS)"} <= set(server.said)
    assert not {"AUTH", "MAIL"} & set(server.said)


async def test_a_wrong_login_is_told_without_the_password(
    store: Library, config: Config, watch: Watch, authority: trustme.CA
) -> None:
    await with_notices(store, 1)
    async with MailServer(tls=server_side(authority), login=("hub", "right")).running() as server:
        channel = mail(server, tls="starttls", login="hub", password="canary")
        (result,) = await delivered(store, channel, config, watch)
    assert result.problem == "the mail server refused the login with 535"
    assert "canary" not in repr(channel._settings)


async def test_nothing_is_sent_without_the_tls_that_was_asked_for(
    store: Library, config: Config, watch: Watch
) -> None:
    await with_notices(store, 1)
    async with MailServer().running() as server:
        (result,) = await delivered(store, mail(server, tls="starttls"), config, watch)
        assert "STARTTLS" in result.problem
        watch.now += timedelta(minutes=5)
        (result,) = await delivered(store, mail(server, tls="tls"), config, watch)
        assert result.state is WAITING
    assert not {"MAIL", "AUTH"} & set(server.said)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(
    store: Library, config: Config, watch: Watch, authority: trustme.CA, tls: Any
) -> None:
    await with_notices(store, 1)
    other = server_side(authority, "192.0.2.1")
    async with MailServer(tls=other, from_start=tls == "tls").running() as server:
        (result,) = await delivered(store, mail(server, tls=tls), config, watch)
    assert "certificate is not valid: IP address mismatch" in result.problem
    assert "MAIL" not in " ".join(server.said)


# Webhook


async def test_a_webhook_gets_the_notice_as_json(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 1)
    async with WebhookServer().running() as server:
        (result,) = await delivered(library, webhook(server, "token-1"), config, watch)
    assert result == Result(SENT, to="eva0@example.org")
    (head,), (body,) = server.heads, server.bodies
    assert head.startswith("POST /in?x=1 HTTP/1.1\r\n")
    assert "Authorization: Bearer token-1\r\n" in head
    assert f"Idempotency-Key: {only(library).id}\r\n" in head
    text = body.pop("text")
    assert text.startswith("Beste Eva 0,")
    assert body == {
        "id": only(library).id,
        "kind": "BADGE",
        "patron": "E0",
        "to": "eva0@example.org",
        "language": "nl",
        "subject": "Uw toegang loopt af",
        "values": BADGE,
        "created": NOW.isoformat(),
    }


async def test_a_webhook_may_reach_those_without_e_mail(
    library: Library, config: Config, watch: Watch
) -> None:
    await put(library, Notice("BADGE", "P3", "x", BADGE))
    async with WebhookServer().running() as server:
        (result,) = await delivered(library, webhook(server), config, watch)
    assert result == Result(SENT)
    assert server.bodies[0]["to"] is None
    assert "Authorization" not in server.heads[0]


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (webhook_server.HANG_UP, "the webhook closed the connection"),
        (webhook_server.HANG, "the webhook did not answer in time"),
        (webhook_server.DRIP, "the webhook did not answer in time"),
        (webhook_server.DROP_AFTER_BODY, "the webhook closed the connection"),
        ("not a status", "the webhook does not answer in HTTP"),
        ("302", "the webhook answered 302"),
        ("401", "the webhook answered 401"),
        ("422", "the webhook answered 422"),
        ("503", "the webhook answered 503"),
    ],
)
async def test_each_notice_is_taken_once_by_a_webhook_that_fails_at_first(
    library: Library, config: Config, watch: Watch, behaviour: str, problem: str
) -> None:
    await with_notices(library, 3)
    behaviours = [behaviour, behaviour, webhook_server.TAKE]
    answer_s = 0.3 if "in time" in problem else 10  # others answer, however busy the machine is
    async with WebhookServer(behaviours).running() as server:
        channel = webhook(server, answer_s=answer_s)
        assert await until_sent(library, channel, config, watch) == [problem, problem]
    assert len(server.taken) == 3
    assert set(server.taken.values()) == {1}
    assert set(server.unconfirmed) <= set(server.taken)
    assert {head.split()[0] for head in server.heads} == {"POST"}


async def test_a_webhook_over_tls_must_show_its_certificate(
    store: Library, config: Config, watch: Watch, authority: trustme.CA
) -> None:
    await with_notices(store, 1)
    async with WebhookServer(tls=server_side(authority, "192.0.2.1")).running() as server:
        (result,) = await delivered(store, webhook(server, scheme="https"), config, watch)
    assert "the webhook's certificate is not valid: IP address mismatch" in result.problem
    watch.now += timedelta(minutes=5)
    async with WebhookServer(tls=server_side(authority)).running() as server:
        (result,) = await delivered(store, webhook(server, scheme="https"), config, watch)
    assert result.state is SENT


# Several processes, and a store that fails


async def test_several_processes_deliver_each_notice_once(
    library: Library, config: Config, watch: Watch
) -> None:
    await with_notices(library, 12)
    async with MailServer().running() as server:
        runs = [delivered(library, mail(server), config, watch) for _ in range(4)]
        results = await asyncio.gather(*runs)
    assert sum(map(len, results)) == 12
    assert len(server.taken) == 12
    assert set(server.taken.values()) == {1}


async def test_what_was_handed_over_is_noted_as_soon_as_the_store_works_again(
    library: Library, config: Config, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_notices(library, 1)
    note, failures = library.note_delivery, [UnavailableError("x"), UnavailableError("x")]

    async def failing(*arguments: Any) -> bool:
        if failures:
            raise failures.pop()
        return await note(*arguments)

    monkeypatch.setattr(library, "note_delivery", failing)
    monkeypatch.setattr(courier_module, "NOTE_AGAIN_AFTER_S", 0.01)
    async with MailServer().running() as server:
        (result,) = await delivered(library, mail(server), config, watch)
    assert result.state is SENT
    assert only(library).state is SENT
    assert set(server.taken.values()) == {1}


async def test_a_fault_of_ours_keeps_no_other_notice_from_being_sent(
    store: Library, config: Config, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_notices(store, 2)
    deliver, faults = Mail.deliver, [RuntimeError("eva0@example.org")]

    async def faulty(self: Mail, letter: Any) -> None:
        if faults:
            raise faults.pop()
        await deliver(self, letter)

    monkeypatch.setattr(Mail, "deliver", faulty)
    async with MailServer().running() as server:
        results = await delivered(store, mail(server), config, watch)
    assert [result.problem for result in results] == ["a fault of ours: RuntimeError", ""]


async def test_a_stopped_courier_takes_no_more_notices(
    store: Library, config: Config, watch: Watch
) -> None:
    await with_notices(store, 3)
    async with MailServer().running() as server:
        courier = Courier(store, mail(server), config, watch)
        async for _ in courier.run(only_due=True):
            courier.stop()
    assert sum(server.taken.values()) == 1


@pytest.mark.parametrize(
    ("outbox", "kind"),
    [
        ("", None),
        ('smtp = "127.0.0.1:25"\nsender = "hub@example.org"\n', Mail),
        ('webhook = "https://example.org/in"\n', Webhook),
    ],
)
def test_the_configuration_chooses_the_channel(config: Config, outbox: str, kind: Any) -> None:
    config.path.write_text(f'[institution]\nid = "HUB"\n[outbox]\n{outbox}')
    channel = open_channel(load_config(config.path))
    assert channel is None if kind is None else isinstance(channel, kind)
