"""A library system that knows debts, but not who belongs to whom: own code, over a socket.

Anna (1001) is head of Tom (1002), Bert (1005) has authorised Carla (1006) to pay: that only the
store of the gateway in front knows, which is that of `harness`.
"""

from dataclasses import dataclass, field

from harness import STAMP

KEYS = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ADDRESS"
login = "gw"
password = "pw"
timeout_s = 1
connections = 1
facts = { fees = "FORM" }
KEYS
"""


@dataclass
class Account:
    """A patron there."""

    name: str
    fees: dict[str, str] = field(default_factory=dict)
    """Id and text of each fee, which ends in its amount, as Koha writes it."""
    balance: str | None = None
    """BV, if it is not what the fees come to; empty: none is sent."""
    flags: str = ""
    more: str = ""
    """Further fields."""
    valid: str = "BLY|"
    known_as: str | None = None
    """AA of the answer, if it is not the number that was asked for."""

    def owed(self):
        return sum(round(float(text.split()[-1]) * 100) for text in self.fees.values())

    def answer(self, card, *, with_pin, code="64"):
        """A 64 or 24; the flags deny everything while more than 10.00 is owed."""
        owed = self.owed()
        flags = self.flags or ("YYYY" if owed > 1000 else "")
        balance = f"{owed / 100:.2f}" if self.balance is None else self.balance
        counts = f"0000{'0000'}{'0000'}{len(self.fees):04}{'0000'}{'0000'}" if code == "64" else ""
        lines = "".join(f"AV#{number} {text}|" for number, text in self.fees.items())
        return (
            f"{code}{flags:14}001{STAMP}{counts}AOTHEIRS|AA{self.known_as or card}|AE{self.name}|"
            f"{self.valid}{'CQY|' if with_pin else ''}{f'BV{balance}|' if balance else ''}"
            f"{lines if code == '64' else ''}{self.more}"
        )


class Books:
    """The script for `scripted_library`: who owes what, and whose question is hung up on."""

    def __init__(self, **accounts):
        self.accounts = {
            "1001": Account("Peeters, Anna", {"11": "Rental 2.50"}),
            "1002": Account("Peeters, Tom", {"21": "Overdue The Hobbit 3.00"}),
            "1005": Account("Bert Maes", {"51": "Lost 5.00"}),
            "1006": Account("Carla Maes"),
            **{card.lstrip("_"): account for card, account in accounts.items()},
        }
        self.hangs_up_on = set()

    def __call__(self, body):
        code, text = body[:2].decode(), body.decode()
        card, asked = field_of(text, "AA"), {"23": "24", "63": "64"}[code]
        if card in self.hangs_up_on:
            raise ConnectionError
        account = self.accounts.get(card)
        if account is None:
            account = Account("", balance="", valid="BLN|")
        return account.answer(card, with_pin="|AD" in text, code=asked).encode()


def field_of(body, tag):
    """The first value of a field; empty without one."""
    return next((part[2:] for part in body.split("|")[:-1] if part[:2] == tag), "") or next(
        (part.split(tag, 1)[1] for part in body.split("|")[:1] if tag in part), ""
    )


def keys(library, *, form="av_koha", more=""):
    """The configuration of a gateway in front of a scripted library."""
    host, port = library.address
    return KEYS.replace("ADDRESS", f"{host}:{port}").replace("FORM", form).replace("KEYS", more)
