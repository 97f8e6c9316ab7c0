"""A library system with books: fee lines that are paid once for each 37 that arrives (B75).

Like `hostile_library` it shares no code with sip2gw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hostile_library import STAMP, Heard, right_answer


@dataclass(frozen=True, slots=True)
class Paid:
    """A 37 that was booked."""

    patron: bytes
    fee: bytes
    cents: int
    bk: bytes


@dataclass
class Till:
    """Answers 63s with Koha's fee lines (`#id text amount`), and books 37s.

    It knows no BK: a 37 that comes twice is booked twice, as far as there are debts.
    """

    owed: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    """Cents by fee, by patron."""
    paid: list[Paid] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    """BK of what was not booked."""
    too_often: list[bytes] = field(default_factory=list)
    """BK of each 37 that came after it had been booked."""
    shows_lines: bool = True
    says: bytes = b""
    """AF of each 38."""
    guards_bk: bool = False
    unwilling: Counter[bytes] = field(default_factory=Counter)
    """How many of the next 37s for a patron are refused."""
    _said: bytes = b""

    def __call__(
        self, heard: Heard, patron: bytes | None = None, item: bytes | None = None
    ) -> bytes:
        if patron is not None:  # said about somebody else: it has booked the right one before
            return right_answer(heard, patron)
        if item is None:  # else it is the same again: no item is in these answers
            self._said = self._answer(heard.value(b"AA"), heard)
        return self._said

    def _answer(self, patron: bytes, heard: Heard) -> bytes:
        if heard.code == b"63":
            return self._show(patron, heard)
        if heard.code == b"37":
            return self._take(patron, heard)
        return right_answer(heard)

    def _show(self, patron: bytes, heard: Heard) -> bytes:
        fees = self.owed.get(patron, {})
        asked = heard.body[23:33][3:4] == b"Y"
        lines = b"".join(
            b"AV#%b Fee %s|" % (fee, amount(cents)) for fee, cents in fees.items() if asked
        )
        is_right = heard.value(b"AD") in (b"", b"1234")
        counts = b"0000" * 3 + b"%04d" % len(fees) + b"0000" * 2
        cq = b"CQY|" if is_right else b"CQN|"
        who = b"AOHUB|AA%b|AEPatron %b|BLY|%bBV%b|" % (patron, patron, cq, amount(total(fees)))
        shown = lines if self.shows_lines else b""
        return b"64" + b" " * 14 + b"001" + STAMP + counts + who + shown

    def _take(self, patron: bytes, heard: Heard) -> bytes:
        whole, _, cents = heard.value(b"BV").partition(b".")
        money, fee, bk = int(whole) * 100 + int(cents or 0), heard.value(b"CG"), heard.value(b"BK")
        if any((one.bk, one.patron, one.fee) == (bk, patron, fee) for one in self.paid):
            self.too_often.append(bk)
        again = bk in self.too_often and self.guards_bk
        self.unwilling[patron] -= 1
        done = again or (self.unwilling[patron] < 0 and self._pay(patron, fee, money))
        if not done:
            self.refused.append(bk)
        elif not again:
            self.paid.append(Paid(patron, fee, money, bk))
        word = b"Y" if done else b"N"
        said = b"AF%b|" % self.says if self.says else b""
        return b"38" + word + STAMP + b"AOHUB|AA%b|" % patron + said

    def _pay(self, patron: bytes, fee: bytes, money: int) -> bool:
        fees = self.owed.get(patron, {})
        parts = dict(_spread(fees, money)) if not fee else {fee: money}
        if not parts or any(fees.get(one, 0) < cents for one, cents in parts.items()):
            return False
        if sum(parts.values()) != money:
            return False
        for one, cents in parts.items():
            fees[one] -= cents
            if not fees[one]:
                del fees[one]
        return True


def _spread(fees: dict[bytes, int], money: int) -> Iterator[tuple[bytes, int]]:
    for fee, cents in fees.items():
        part = min(cents, money)
        money -= part
        if part:
            yield fee, part


def amount(cents: int) -> bytes:
    return b"%d.%02d" % divmod(cents, 100)


def total(fees: dict[bytes, int]) -> int:
    return sum(fees.values())
