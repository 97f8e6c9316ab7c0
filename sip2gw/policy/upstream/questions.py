"""A terminal's 23 or 63 as it goes up to a library system.  (B73, B74, C120, C123, C153)"""

from __future__ import annotations

from collections.abc import Iterable

from sip2gw.protocol.encoding import TextEncoding, is_exact, recode
from sip2gw.protocol.message import copied
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest

PatronQuestion = PatronStatusRequest | PatronInformation

OURS = frozenset({"AO", "AA", "AD", "FW"})
"""Fields that go up once, as we say: somebody who repeats AD may want another PIN to be judged than
the one that is counted."""


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
    """`request` in the account's name, from the terminal's encoding to the account's.

    Returns:
        None when card number or PIN have characters that `target` lacks: no card there has such a
        number, and no PIN is right that they cannot write.
    """
    pin = request.patron_password or None
    if not is_exact(request.patron_identifier, target) or (pin and not is_exact(pin, target)):
        return None
    up = copied(request)
    up.institution_id, up.patron_password = institution, pin
    unknown = request.extra_fields
    if unknown:
        theirs = [field for field in unknown if field[0] not in OURS]
        up.extra_fields = carried(theirs, source, target)
    if isinstance(up, PatronInformation) and not knows_fw_b:
        up.fetch_reason = None
    return up
