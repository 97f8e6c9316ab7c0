"""Throw-away."""
from dataclasses import replace
from sip2gw.handlers.base import Asked
from sip2gw.model import CardState
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.facts import *
from sip2gw.protocol.messages import PatronInformation

class UpstreamIdentifier:
    def __init__(self, *a, **k): ...
    async def ask(self, session, request, lease=True):
        m = session.terminal.upstream
        up = replace(request, institution_id=m.institution, fetch_reason=request.fetch_reason if m.knows_fw_b else None) if isinstance(request, PatronInformation) else replace(request, institution_id=m.institution)
        r = await session.services.library.ask(m.account, session.terminal.name, up, session.lease)
        pin = request.patron_password
        number = request.patron_identifier
        if r.valid_patron is False:
            return Asked(None, None, PinState.ABSENT, r)
        ours = await session.services.backend.find_by_card(r.patron_identifier)
        f = read_facts(r, m.facts, session.terminal.currency, m.text.decode)
        mem = await session.services.backend.find_membership(f.membership) if f.membership and hasattr(session.services.backend,"find_membership") else None
        rec = record_of(f, number, ours, mem)
        state = PinState.ABSENT if not pin else PinState.OK if pin_is_right(r) else PinState.WRONG
        return Asked(rec, rec.card(number), state, r)
    async def identify(self, session, number, pin):
        a = await self.ask(session, PatronInformation(patron_identifier=number, patron_password=pin))
        return a.record, a.card, a.pin
    async def find(self, session, number):
        a = await self.ask(session, PatronInformation(patron_identifier=number))
        return a.record, a.card
