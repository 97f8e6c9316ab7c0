"""A library system and an identifier that say what a test tells them, and remember the questions.

They stand where a terminal's handlers look; what is between them and a real library system has
tests of its own.
"""

from msgspec.structs import replace

from sip2gw.authentication.identification import StoreIdentifier
from sip2gw.backend.system import NotAskedError
from sip2gw.handlers import handlers_of
from sip2gw.handlers.base import Asked
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.model import Card, CardState, LibraryWord, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.codec import parse_response
from sip2gw.protocol.messages import (
    AcsStatus,
    PatronInformationResponse,
    PatronStatusResponse,
)
from sip2gw.protocol.wire import UNCUT, WireFormat
from sip2gw.shared.sendings import Sendings

ALL_CODES = frozenset(
    ["01", "09", "11", "15", "17", "19", "23", "25", "29", "35", "37", "63", "65"]
)
UP = AcsStatus(
    online=True,
    checkin_ok=True,
    checkout_ok=True,
    renewal_policy=True,
    status_update_ok=True,
    offline_ok=True,
    supported_messages=ALL_CODES,
)
THEIR_WIRE = WireFormat(encoding="utf-8", value_bytes_max=UNCUT, keeps_bytes=True)
MANNER = UpstreamManner(
    account="default",
    institution="THERE",
    text=THEIR_WIRE.text,
    facts=FactRules(),
    knows_fw_b=False,
    aliases=False,
)


class FakeLibrary:
    """Says what `answers` has for a request code: a response, or an error to raise."""

    def __init__(self, answers=(), *, offered=ALL_CODES, last=UP, away=False):
        self.answers = dict(answers)
        self.offered, self.last, self.away = offered, last, away
        self.asked = []
        self.released = []

    async def ask(self, account, terminal, request, lease=None, sent=None):
        self.asked.append((account, terminal, request, lease))
        answer = self.answers[request.code]
        if sent is not None and not isinstance(answer, NotAskedError):
            sent()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def offers(self, account):
        return self.offered

    def last_status(self, account):
        return self.last

    def forget(self):
        """Nothing is kept."""

    def is_away(self, account):
        return self.away

    def release(self, lease):
        self.released.append(lease)

    async def start(self):
        """Nothing to open."""

    async def close(self):
        """Nothing to close."""


class FakeIdentifier(StoreIdentifier):
    """Finds in the store as ever, and says `asked` when the library system is to be asked."""

    def __init__(self, pins, asked):
        super().__init__(pins)
        self.asked = asked
        self.requests = []
        self.judged = []
        self.locked = False

    def numbers_of(self, number):
        return (number,)

    async def judge(self, session, number, pin, deed, send):
        self.judged.append((number, pin))
        return None if self.locked else await send()

    async def judge_alone(self, session, number, pin):
        self.judged.append((number, pin))
        return PinState.LOCKED if self.locked else PinState.ABSENT

    async def ask(self, session, request):
        self.requests.append(request)
        asked = self.asked
        if isinstance(asked, dict):
            asked = asked[request.patron_identifier]
        if isinstance(asked, Exception):
            raise asked
        return asked


def response(wire_text):
    """What a library system answers, from wire text or, for odd bytes, bytes."""
    body = wire_text if isinstance(wire_text, bytes) else wire_text.encode(THEIR_WIRE.encoding)
    return parse_response(body, THEIR_WIRE)


def said(wire_text, **facts):
    """What a library system answered, as wire text, about a patron whose PIN is right."""
    body = wire_text if isinstance(wire_text, bytes) else wire_text.encode(THEIR_WIRE.encoding)
    response = parse_response(body, THEIR_WIRE)
    assert isinstance(response, PatronStatusResponse | PatronInformationResponse)
    pin = facts.pop("pin", PinState.OK)
    number = response.patron_identifier
    record = PatronRecord(
        number,
        response.personal_name,
        cards=(Card(number, CardState.ACTIVE),),
        word=LibraryWord(response.patron_status, response.screen_message),
        **facts,
    )
    return Asked(record, record.cards[0], pin, response)


def put_behind(gateway, library, asked=None, *, every_message=False, **manner):
    """Make `library` the library system behind a running gateway; returns its identifier.

    With `every_message` terminals may send what is not passed on yet, too.
    """
    services = gateway.app.gateway.services
    services.library = library
    services.sendings = Sendings()
    services.sendings.recall((), {})
    services.identifier = identifier = FakeIdentifier(gateway.app._pins, asked)
    site = gateway.app.gateway.site
    for login, known in site.by_login.items():
        kind = "door" if known.view.is_door else "auth"
        handlers = handlers_of(kind, "standard", "upstream")
        served = {request.code for request in handlers}
        view = replace(
            known.view,
            handlers=handlers,
            messages=known.view.messages if every_message else known.view.messages & served,
            upstream=replace(MANNER, **manner),
            wire=replace(known.view.wire, value_bytes_max=UNCUT),
        )
        site.by_login[login] = replace(known, view=view)
    return identifier
