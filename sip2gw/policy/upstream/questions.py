"""A terminal's 23 or 63 as it goes up to a library system.  (B73, B74, C120, C123, C153)"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from msgspec.structs import replace

from sip2gw.protocol.encoding import TextEncoding, is_exact, recode
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest

PatronQuestion = PatronStatusRequest | PatronInformation

OURS = frozenset({"AO", "AA", "AD", "FW"})
"""Fields that go up once, as we say: somebody who repeats AD may want another PIN to be judged than
the one that is counted."""


def given_pin(pin: str | None) -> str | None:
    """AD, if a PIN was given. Some library systems cut blanks to nothing, and say yes to nothing:
    as a PIN they would open every card (C158)."""
    return pin if pin and pin.strip(" ") else None


def spelling(number: str) -> str:
    """What all spellings of a card number have in common.

    Some library systems find a card whatever its case, accents, blanks, hyphens or leading zeros,
    and answer with the number as it was asked. Each spelling would have guesses of its own.
    """
    if number.isascii() and number.isdigit() and number[0] != "0":
        return number  # as nearly all are
    plain = unicodedata.normalize("NFKD", number).casefold()
    return "".join([c for c in plain if c.isalnum()]).lstrip("0") or number


def carried(
    fields: Iterable[tuple[str, bytes]], source: TextEncoding, target: TextEncoding
) -> list[tuple[str, bytes]]:
    """Unknown fields on their way from one side to the other: text is recoded, bytes that one of
    the two does not know are kept (C153)."""
    return [(tag, recode(value, source, target)) for tag, value in fields]


def going_up(
    request: PatronQuestion,
    institution: str,
    source: TextEncoding,
    target: TextEncoding,
    *,
    knows_fw_b: bool,
) -> PatronQuestion | None:
    """`request` in the account's name, from the terminal's encoding to the account's; itself if it
    need not be changed.

    Returns:
        None when card number or PIN have characters that `target` lacks: no card there has such a
        number, and no PIN is right that they cannot write.
    """
    pin = given_pin(request.patron_password)
    if not is_exact(request.patron_identifier + (pin or ""), target):
        return None
    drops_reason = not knows_fw_b and getattr(request, "fetch_reason", None) is not None
    if (
        request.institution_id == institution
        and request.patron_password == pin
        and not request.extra_fields
        and not drops_reason
    ):
        return request
    up = replace(request)
    up.institution_id, up.patron_password = institution, pin
    if up.extra_fields:
        theirs = [field for field in up.extra_fields if field[0] not in OURS]
        up.extra_fields = carried(theirs, source, target)
    return replace(up, fetch_reason=None) if drops_reason else up
