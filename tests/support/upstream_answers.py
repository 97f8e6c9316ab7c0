"""A library system that knows cards and PINs, for whoever asks it through the port."""

import asyncio

from harness import STAMP

from sip2gw.protocol.codec import parse_response, serialise
from sip2gw.protocol.wire import WireFormat

UTF8 = WireFormat(encoding="utf-8")


class AskedLibrary:
    """Answers 23 and 63, and keeps what it was asked, as text on the wire.

    Args:
        pins: by card.
        holders: the number in AA where it is not the card itself.
    """

    def __init__(self, pins, holders=()):
        self.pins, self.holders = pins, dict(holders)
        self.asked, self.leases = [], []
        self.judged = []
        """The card and PIN of each request with AD."""
        self.fails = None
        self.cq = True
        self.says_no = True
        """Whether it says CQN; False: it leaves CQ out then."""
        self.tail = ""
        """More fields of each answer."""
        self.offered = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, account, terminal, request, lease=None, sent=None):
        self.asked.append(serialise(request, UTF8).decode().rstrip("\r"))
        self.leases.append(lease)
        number, pin = request.patron_identifier, request.patron_password
        if pin:
            self.judged.append((number, pin))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return parse_response(self.answer(request.code, number, pin).encode(), UTF8)

    def answer(self, code, number, pin):
        is_known = number in self.pins
        is_right = is_known and self.pins[number] == pin
        says_cq = self.cq and (is_right or self.says_no)
        cq = f"CQ{'Y' if is_right else 'N'}|" if says_cq else ""
        fixed = f"{'':14}000{STAMP}"
        start = f"24{fixed}" if code == "23" else f"64{fixed}{'0000' * 6}"
        holder = self.holders.get(number, number)
        bl = "Y" if is_known else "N"
        return f"{start}AOTHERE|AA{holder}|AEJan Jansen|BL{bl}|{cq}{self.tail}"

    def wrong(self):
        """The wrong PINs that it was asked about."""
        return [(number, pin) for number, pin in self.judged if self.pins.get(number) != pin]

    def offers(self, account):
        return self.offered

    def is_away(self, account):
        return False

    def release(self, lease):
        pass
