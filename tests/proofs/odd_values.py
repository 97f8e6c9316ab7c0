"""Requests whose dates, amounts, numbers and texts are what no kiosk should send."""

import random
import string
from collections.abc import Collection

CARDS = ("1001", "1002", "1004", "1005", "1006", "1008", "1009", "1010", "1011", "1020", "4711")
ITEMS = (
    "BOOK1", "BOOK4", "FREE1", "FREE2", "FREE3", "PAID1", "HELD1", "READY1", "EAST1", "LATE1",
    "LENT1", "QUEUED1", "IVO1", "NOPE", "",
)  # fmt: skip
TITLES = ("TF", "TF2", "TH", "TQ", "NOPE", "")
FEES = ("T1", "D1", "D2", "B1", "H1", "I1", "NOPE", "")
NOW = "20260310    120000"

DAYS = (
    "00000000", "00010101", "00011231", "00020101", "10000101", "17991231", "18000101", "19000101",
    "19691231", "20200101", "20250202", "20260228", "20260229", "20260309", "20260310", "20260311",
    "20260329", "20260401", "20301231", "20360310", "20361231", "20991231", "89991231", "90000101",
    "99981231", "99990101", "99991231", "20261301", "20260132", "99999999",
)  # fmt: skip
ZONES = ("    ", "    ", "   Z", "   z", "0000", "UTC ", "  +1", "\0\0\0\0", "\xff   ")
TIMES = ("000000", "023000", "115500", "120000", "235959", "240000", "236060", "999999", "12:00:")
EDGES = (
    "00010101    000000", "00010101   Z000000", "00010102   Z235959", "99991230   Z000000",
    "99991231    235959", "99991231   Z235959",
)  # fmt: skip
"""Moments that have no date in some zone."""
STRANGE_DATES = (" " * 18, "0" * 18, "\0" * 18, "9" * 18, "-0010101    000000", "\xe9" * 18)
AMOUNTS = (
    "0.01", "0.50", "1.00", "3.00", "12.50", "", "0", "0.00", "-1.00", "1.001", ".50", "1.", "1,50",
    "1e9", "NaN", "inf", "999999999999.99", "1000000000000", "9" * 40, "9" * 2_000, "0" * 300 + "1",
    " 1.00 ", "1\0.00", "+1.00", "\xb2.00", "0x10",
)  # fmt: skip
NUMBERS = (
    "", "0", "1", "2", "5", "-1", "007", "99999", "999999", "99999999999", "9" * 300, "9" * 2_000,
    "1.5", "\xb2", "1\0", "\0", " 1 ", "abc",
)  # fmt: skip
NOISE = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=5_000))
"""Cannot be made shorter, so that no index holds it."""
TEXTS = (
    "", "a", "good", "\0", "a\0b", "\xff\xfe", "\xed\xa0\x80", "\xc3\xa9", "\x7f\x1b[2J",
    "' OR 1=1", "x" * 255, "x" * 300, "x" * 3_000, NOISE, "%s{0}", "~", "MAIN", "EAST",
    "\xed\xb0\x80\xed\xa0\x80",
)  # fmt: skip

REQUESTS = (
    "01Y{date}AOHUB|AL{text}|AA{card}|AC|",
    "09{yn}{date}{date}APMAIN|AOHUB|AB{item}|AC|CH{text}|{cancel}",
    "09{yn}{date}{date}AP{text}|AOHUB|AB{item}|AC|",
    "11{yn}{yn}{date}{date}AOHUB|AA{card}|AB{item}|AC|{pin}{fee}",
    "11{yn}Y{date}{date}AOHUB|AA{card}|AB{item}|AC|CH{text}|{pin}{fee}{cancel}",
    "15{mode}{date}BW{date}|{branch}BY{type}|AOHUB|AA{card}|{pin}AB{item}|AC|BO{yn}|",
    "15{mode}{date}BW{date}|{branch}AOHUB|AA{card}|{pin}AJ{title}|",
    "17{date}AOHUB|AB{item}|AC|",
    "19{date}AOHUB|AB{item}|AC|CH{text}|",
    "23{language}{date}AOHUB|AA{card}|AC|{pin}",
    "25{date}AOHUB|AA{card}|AC|{pin}",
    "29{yn}{yn}{date}{date}AOHUB|AA{card}|{pin}AB{item}|AJ{title}|AC|CH{text}|{fee}",
    "29{yn}Y{date}{date}AOHUB|AA{card}|{pin}AB{item}|{fee}",
    "35{date}AOHUB|AA{card}|AC|{pin}",
    "37{date}01{kind}EURBV{amount}|AOHUB|AA{card}|AC|{pin}CG{fee_id}|BK{text}{number}|",
    "37{date}01{kind}EURBV{amount}|AOHUB|AA{card}|AC|{pin}CG{number}|ZD{card}|",
    "37{date}{number2}00{currency}BV{amount}|AOHUB|AA{card}|AC|{pin}BK{number}|",
    "41{date}AOHUB|AA{card}|AC|{pin}FA{yn}|FB{yn}|FC{yn}|",
    "63{language}{date}{summary}AOHUB|AA{card}|AC|{pin}BP{number}|BQ{number}|",
    "63{language}{date}{summary}AOHUB|AA{card}{text}|AC|{pin}BP{number}|",
    "65{date}AOHUB|AA{card}|{pin}AC|{fee}",
    "99{number1}{number3}2.00",
    "97",
)
"""Every request with every field that holds a date, an amount, a number or a free text."""


class Speaker:
    """Fills requests in; a good half of all values is right, so that something is done, too."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def body(self, codes: Collection[str] = ()) -> bytes:
        """One request without its trailer, most often one of `codes` if there are any."""
        card = self._chance.choice(CARDS)
        fitting = [one for one in REQUESTS if one[:2] in codes]
        template = self._chance.choice(
            fitting if fitting and self._chance.random() < 0.9 else REQUESTS
        )
        parts = string.Formatter().parse(template)
        return "".join(
            literal + (self._value(name, card) if name else "") for literal, name, _, _ in parts
        ).encode("latin-1")

    def _value(self, name: str, card: str) -> str:
        chance = self._chance
        choices = {
            "item": ITEMS,
            "title": TITLES,
            "fee_id": FEES,
            "yn": "YN",
            "mode": "+++-*x",
            "type": "1234 ",
            "kind": ("00", "00", "01", "02", "99", "\0\0"),
            "number1": "012\0",
            "number2": ("01", "04", "\0\0", "99"),
            "number3": ("000", "080", "999", "   "),
            "currency": ("EUR", "EUR", "USD", "\0\0\0"),
            "language": ("000", "001", "999", "\0\0\0"),
            "summary": (" " * 10, "Y" * 10, "  Y       ", "   Y      ", "\0" * 10),
            "branch": ("", "", "BSMAIN|", "BSEAST|", "BSa\0b|", f"BS{'x' * 300}|"),
            "cancel": ("", "", "", "BIY|"),
            "fee": ("", "BOY|"),
        }
        if name in choices:
            return chance.choice(choices[name])
        if name == "card":
            return card
        if name == "pin":
            return f"AD{card}|" if chance.random() < 0.8 else chance.choice(("", "AD|", "ADno|"))
        return self._odd(name)

    def _odd(self, name: str) -> str:
        chance = self._chance
        if name == "date":
            return self._date()
        usual, odd = {
            "amount": (("0.01", "0.50"), AMOUNTS),
            "number": ((str(chance.randrange(10**9)),), NUMBERS),
            "text": (("", "good"), TEXTS),
        }[name]
        return chance.choice(usual if chance.random() < 0.5 else odd)

    def _date(self) -> str:
        chance = self._chance
        kind = chance.random()
        if kind < 0.3:
            minutes = chance.randrange(24 * 60)
            return f"202603{chance.randint(9, 12):02}    {minutes // 60:02}{minutes % 60:02}00"
        if kind < 0.4:
            return chance.choice(EDGES)
        if kind < 0.45:
            return chance.choice(STRANGE_DATES)
        if kind < 0.5:
            return "".join(chance.choices("0123456789 Z\0", k=18))
        return chance.choice(DAYS) + chance.choice(ZONES) + chance.choice(TIMES)
