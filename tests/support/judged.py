"""A gateway whose identifier asks a library system of a test about PINs."""

from contextlib import asynccontextmanager

from harness import CONFIG, running
from msgspec.structs import replace
from upstream_answers import AskedLibrary

from sip2gw.authentication.guesses import PinRules
from sip2gw.authentication.upstream import UpstreamIdentifier
from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.policy.upstream.questions import spelling
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.codec import parse_request
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.wire import WireFormat

MANNER = UpstreamManner(
    account="default",
    institution="THERE",
    text=text_encoding("utf-8"),
    facts=FactRules(),
    knows_fw_b=False,
    aliases=False,
)


class Behind:
    """A gateway with a library system behind it, as its handlers see both."""

    def __init__(self, gateway, library):
        self.gateway, self.library = gateway, library
        app = gateway.app
        state = app.state
        self.locks: list[str] = []
        self.verifier = app._verifier
        self.identifier = UpstreamIdentifier(
            app.backend,
            app._verifier,
            app.store.pin_secret,
            PinRules(answer_slot_s=0),
            lambda what, terminal: self.locks.append(what),
            state.admissions,
            state.pin_guesses,
            state.door_questions,
        )
        self.services = replace(app.gateway.services, library=library, identifier=self.identifier)

    def session(self, terminal="kiosk-1", **manner):
        view = self.gateway.app.gateway.site.by_login[terminal].view
        view = replace(view, upstream=replace(MANNER, **manner))
        return Session(self.services, view)

    async def guess(self, number, pin, session=None):
        asked = await self.identifier.ask(session or self.session(), ask_63(number, pin))
        return asked.pin

    async def counted(self, *numbers):
        names = [spelling(number) for number in numbers]
        return [count.failures for count in await self.gateway.store.failed_pins(names)]


def ask_63(number, pin=None, more=""):
    ad = "" if pin is None else f"AD{pin}|"
    body = f"6300120260310    120000Y         AOHUB|AA{number}|{ad}{more}"
    return parse_request(body.encode("cp850"), WireFormat())


@asynccontextmanager
async def behind(directory, library=None, config=CONFIG):
    async with running(directory, config=config) as gateway:
        known = {"91": "1234", "92": "9999", "1001": "4321"}
        yield Behind(gateway, library or AskedLibrary(known))
