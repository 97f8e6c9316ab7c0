"""What is asked of the servers, and what a good answer looks like."""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.library import (
    CURRENCY,
    INSTITUTION,
    PASSWORD,
    SLOW_PIN,
    STATIONS,
    Library,
    copies_of,
    pin_of,
    shared_logins,
)
from benchmarks.load import Expected
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.line.connection import ClientConnection
from sip2gw.protocol.messages import (
    Checkin,
    Checkout,
    EndPatronSession,
    FeePaid,
    Login,
    PatronInformation,
    PatronStatusRequest,
    Request,
    ScStatus,
)
from sip2gw.protocol.wire import WireFormat

_DATE = "20260302    101500"
_AMOUNT = "0.01"
_NO_FLAGS = b" " * 14
STATUS_ANSWER = Expected(b"98Y")


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request, sent over and over."""

    name: str
    title: str
    profile: str
    """Whose terminals ask."""
    goal: float
    """Server CPU as a multiple of the bare responder's, at most."""
    expected: Expected
    frames: Callable[[int], list[bytes]]
    """Up to so many frames; fewer are to be sent again from the first."""
    warm_up: Callable[[], list[bytes]]
    """Sent once beforehand, so that PINs are verified and records known."""
    repeats: bool = True
    """Whether a frame may be sent twice."""
    turns: int = 1
    """Frames of one dialogue. With more than one, frame n is that of station n % `STATIONS`,
    and dialogues that were begun are finished."""


def sealed(requests: Iterable[Request]) -> list[bytes]:
    """`requests` as a terminal sends them: numbered, with checksums."""
    line = ClientConnection(WireFormat())
    return [line.send(request) for request in requests]


def hello(login: str) -> bytes:
    """The login of a terminal."""
    return sealed([Login(login_user_id=login, login_password=PASSWORD)])[0]


def shared_hellos(count: int) -> list[bytes]:
    """Logins for `count` connections, a thousand of which may share one."""
    logins = [hello(login) for login in shared_logins()]
    return [logins[number % len(logins)] for number in range(count)]


def status_frames() -> list[bytes]:
    """Ten 99, one for each sequence number."""
    return sealed([ScStatus()] * 10)


def information_frames(cards: Iterable[str], *summary: Summary) -> list[bytes]:
    """A 63 with the right PIN for each of `cards`."""
    return sealed(_information(card, pin_of(card), *summary) for card in cards)


def guess_frames(library: Library) -> list[bytes]:
    """63s with wrong PINs, one for each card, so that none gets locked soon."""
    wrong = SLOW_PIN[::-1]
    cards = random.sample(library.slow_cards, len(library.slow_cards))
    return sealed(_information(card, wrong) for card in cards)


def _information(card: str, pin: str, *summary: Summary) -> PatronInformation:
    return PatronInformation(
        language="001",
        transaction_date=_DATE,
        summary=frozenset(summary),
        institution_id=INSTITUTION,
        patron_identifier=card,
        patron_password=pin,
    )


def _door_frames(cards: Iterable[str]) -> list[bytes]:
    return sealed(
        PatronStatusRequest(
            language="001",
            transaction_date=_DATE,
            institution_id=INSTITUTION,
            patron_identifier=card,
            patron_password=pin_of(card),
        )
        for card in cards
    )


def _payments(cards: list[str], count: int) -> Iterator[FeePaid]:
    tag = secrets.token_hex(4)
    for number in range(count):
        card = cards[number % len(cards)]
        yield FeePaid(
            transaction_date=_DATE,
            payment_type="00",
            currency_type=CURRENCY,
            fee_amount=_AMOUNT,
            institution_id=INSTITUTION,
            patron_identifier=card,
            patron_password=pin_of(card),
            fee_identifier=f"F{card}",
            transaction_id=f"{tag}-{number}",
        )


def _payment_frames(cards: list[str], count: int) -> list[bytes]:
    return sealed(_payments(cards, count))


LOOK_AND_PAY = 2
"""Frames of what goes up to a library system for a payment: 63, 37."""


def look_and_pay_frames(library: Library, count: int) -> list[bytes]:
    """For `count` payments what goes up to a library system: the 63 for the fines, and the 37."""
    return sealed(
        request
        for payment in _payments(library.payer_cards, count)
        for request in (
            _information(payment.patron_identifier, payment.patron_password or "", Summary.FINES),
            payment,
        )
    )


DIALOGUE = 4
"""Frames of a kiosk dialogue: 63, 11, 09, 35."""


def _kiosk_frames(cards: list[str], count: int) -> list[bytes]:
    """Dialogues of all stations in step, `count` frames or a few more.

    Each has a patron of its own lend one of its own copies and bring it back.
    """
    dialogues = -(-count // (DIALOGUE * STATIONS))
    # A key that nobody used within the last day, should the library be used again (C69).
    begun = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(
        seconds=secrets.randbelow(20 * 365 * 86400)
    )
    stations = [
        sealed(
            request
            for number in range(dialogues)
            for request in _dialogue(
                cards[(station + STATIONS * number) % len(cards)],
                copies[number % len(copies)],
                f"{begun + timedelta(seconds=number):%Y%m%d    %H%M%S}",
            )
        )
        for station in range(STATIONS)
        for copies in (copies_of(station),)
    ]
    return list(itertools.chain.from_iterable(zip(*stations, strict=True)))


def _dialogue(card: str, item: str, date: str) -> Iterable[Request]:
    pin = pin_of(card)
    yield _information(card, pin)
    yield Checkout(
        transaction_date=date,
        nb_due_date=date,
        institution_id=INSTITUTION,
        patron_identifier=card,
        item_identifier=item,
        terminal_password="",
        patron_password=pin,
    )
    yield Checkin(
        transaction_date=date,
        return_date=date,
        institution_id=INSTITUTION,
        item_identifier=item,
        terminal_password="",
    )
    yield EndPatronSession(
        transaction_date=date, institution_id=INSTITUTION, patron_identifier=card
    )


_KIOSK_ANSWERS = (b"64" + _NO_FLAGS, b"121N", b"101Y", b"36Y")


def workloads(library: Library) -> list[Workload]:
    """Those that are compared with the bare responder over lasting connections."""
    plain, fees, payers = library.plain_cards, library.fee_cards, library.payer_cards
    door, plain63 = _door_frames(plain), information_frames(plain)
    lines63 = information_frames(fees, Summary.FINES)
    pay63 = information_frames(payers)
    status = status_frames()
    shown = b"|BLY|CQY|"
    return [
        Workload("status", "99", "kiosk", 3, STATUS_ANSWER, lambda _: status, lambda: status),
        Workload(
            "door", "23 at a door", "door", 5,
            Expected(b"24" + _NO_FLAGS, shown), lambda _: door, lambda: door,
        ),
        Workload(
            "patron", "63, no list", "kiosk", 6,
            Expected(b"64" + _NO_FLAGS, shown + b"BHEUR|BV0.00|"),
            lambda _: plain63, lambda: plain63,
        ),
        Workload(
            "fees", "63, ten fee lines", "kiosk", 8,
            Expected(b"64" + _NO_FLAGS, shown + b"BHEUR|BV5.00|CC10.00|AVF"),
            lambda _: lines63, lambda: lines63,
        ),
        Workload(
            "pay", "37, durable", "cash", 8, Expected(b"38Y"),
            lambda count: _payment_frames(payers, count), lambda: pay63, repeats=False,
        ),
        Workload(
            "kiosk", "63, 11, 09, 35, durable", "kiosk", 8, Expected(_KIOSK_ANSWERS),
            lambda count: _kiosk_frames(plain, count), lambda: plain63,
            repeats=False, turns=DIALOGUE,
        ),
    ]  # fmt: skip
