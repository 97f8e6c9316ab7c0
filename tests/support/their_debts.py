"""A library system that knows debts, but not who belongs to whom: own code, over a socket.

Anna (1001) is head of Tom (1002), Bert (1005) has authorised Carla (1006) to pay: that only the
store of the gateway in front knows, which is that of `harness`.
"""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from harness import CONFIG, LIBRARY, STAMP, person, running
from scripted_library import scripted

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


FAMILY = [
    *LIBRARY,
    person("1020", "Tim Peeters"),
    {"kind": "relationship", "type": "head_of_family", "from": "1001", "to": "1020"},
]
"""Anna is head of Tim (1020), too."""


@dataclass
class Account:
    """A patron there, whose PIN is the card number."""

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
    takes_money: bool = True

    def owed(self):
        return sum(cents_of(text) for text in self.fees.values())

    def answer(self, card, pin, *, code):
        """A 64 or 24; the flags deny everything while more than 10.00 is owed."""
        if pin not in ("", card):
            return f"{code}{'YYYY':14}001{STAMP}{'0000' * 6}AOTHEIRS|AA{card}|AE|BLY|CQN|"
        owed = self.owed()
        flags = self.flags or ("YYYY" if owed > 1000 else "")
        balance = amount(owed) if self.balance is None else self.balance
        counts = f"{'0000' * 3}{len(self.fees):04}{'0000' * 2}" if code == "64" else ""
        lines = "".join(f"AV#{number} {text}|" for number, text in self.fees.items())
        return (
            f"{code}{flags:14}001{STAMP}{counts}AOTHEIRS|AA{self.known_as or card}|AE{self.name}|"
            f"{self.valid}{'CQY|' if pin else ''}{f'BV{balance}|' if balance else ''}"
            f"{lines if code == '64' else ''}{self.more}"
        )

    def pay(self, money, fee):
        """Book a 37: on the fee that it names, or on all, the first one first."""
        if not self.takes_money or money > self.owed() or (fee and fee not in self.fees):
            return False
        for number in [fee] if fee else list(self.fees):
            text, _, left = self.fees.pop(number).rpartition(" ")
            part = min(money, cents_of(left))
            money -= part
            if cents_of(left) > part:
                self.fees[number] = f"{text} {amount(cents_of(left) - part)}"
        return True


def cents_of(text):
    return round(float(text.split()[-1]) * 100)


def amount(cents):
    return f"{cents / 100:.2f}"


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
        code, card, pin, money, fee = read(body)
        if card in self.hangs_up_on:
            raise ConnectionError
        account = self.accounts.get(card, Account("", balance="", valid="BLN|"))
        if code == "37":
            word = "Y" if account.pay(cents_of(money), fee) else "N"
            return f"38{word}{STAMP}AOTHEIRS|AA{card}|".encode()
        return account.answer(card, pin, code={"23": "24", "63": "64"}[code]).encode()


FIXED = {"23": 23, "37": 27, "63": 33}


def read(body):
    """Code, card, PIN, amount and fee of a request."""
    text = body.decode()
    code = text[:2]
    said = {part[:2]: part[2:] for part in text[FIXED[code] :].split("|")}
    return code, *(said.get(tag, "") for tag in ("AA", "AD", "BV", "CG"))


def asked_about(library):
    """The cards of the questions, in their order."""
    return [read(body)[1] for body in library.heard if body[:2] in (b"23", b"63")]


def paid(library):
    """Card, PIN, amount and fee of each 37 that went up."""
    return [read(body)[1:] for body in library.heard if body[:2] == b"37"]


@asynccontextmanager
async def in_front_of(directory, books, *, form="av_koha", profile="", more="", records=LIBRARY):
    """A gateway before `books`; `profile` are keys of the payment kiosks, `more` of the backend."""
    async with scripted(books) as library:
        host, port = library.address
        keys = KEYS.replace("ADDRESS", f"{host}:{port}").replace("FORM", form)
        config = CONFIG.replace('kind = "payment"\n', f'kind = "payment"\n{profile}\n')
        async with running(
            directory, config=config + keys.replace("KEYS", more), records=records
        ) as gateway:
            yield gateway, library
