"""Requests about items as they go up to a library system, and what its answers say of a PIN.

Rules: B73, B74, C106, C120, C153, C155.
"""

from __future__ import annotations

from datetime import tzinfo
from functools import cache, lru_cache
from typing import Any, TypeVar

from msgspec.structs import replace

from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.upstream.questions import OURS, carried
from sip2gw.protocol.encoding import TextEncoding, is_exact
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.registry import REQUESTS
from sip2gw.protocol.timestamps import DateZone, read_timestamp, write_timestamp

AnyRequest = TypeVar("AnyRequest", bound=Request)

_DATES = ("transaction_date", "nb_due_date", "return_date", "expiration_date")
_MODES = (
    "hold_mode",
    "sc_renewal_policy",
    "third_party_allowed",
    "no_block",
    "fee_acknowledged",
    "cancel",
)
_MATERIAL = "CR"
"""The field of a 11 or 09 in which some terminals say what kind of thing it is."""


@cache
def _said_once(code: str) -> frozenset[str]:
    """Fields of which only the one that was read goes up: a second AA, AB or AD could mean another
    patron, item or PIN there, a second BV another amount."""
    return OURS | {"AB"} | {field.tag for field in layout_of(REQUESTS[code]).fields}


@cache
def _dates_of(code: str) -> tuple[str, ...]:
    """The attributes of a request that are dates."""
    names = REQUESTS[code].__struct_fields__
    return tuple(name for name in _DATES if name in names)


@cache
def _modes_of(code: str) -> tuple[str, ...]:
    """The attributes of a request that make it another deed."""
    names = REQUESTS[code].__struct_fields__
    return tuple(name for name in _MODES if name in names)


@lru_cache(maxsize=256)
def _date_there(raw: str, zone: tzinfo, date_zone: DateZone) -> str:
    """The date `raw` as it is written there; itself if it is none. Remembered: when many terminals
    ask, they do so in the same seconds."""
    moment = read_timestamp(raw, zone)
    return raw if moment is None else write_timestamp(moment.astimezone(zone), date_zone)


def unknown_there(request: Request, target: TextEncoding) -> CirculationReason | None:
    """What nobody there can have, because `target` lacks characters of its number. With others in
    their place it would be the number of somebody or something else."""
    if not is_exact(getattr(request, "patron_identifier", ""), target):
        return CirculationReason.UNKNOWN_CARD
    if not is_exact(getattr(request, "item_identifier", None) or "", target):
        return CirculationReason.UNKNOWN_ITEM
    return None


def passing_up(
    request: AnyRequest,
    institution: str,
    branch: str | None,
    zone: tzinfo,
    date_zone: DateZone,
    source: TextEncoding,
    target: TextEncoding,
) -> AnyRequest:
    """`request` in the account's name and manner: AO, AP, dates, and the unknown fields' encoding.

    Args:
        request: as the terminal sent it.
        institution: AO there.
        branch: the terminal's; it is AP unless the request has one.
        zone: of the terminal.
        date_zone: how the account writes dates.
        source: how the terminal writes texts.
        target: how the account does.
    """
    up: Any = replace(request)
    up.institution_id = institution
    if getattr(request, "current_location", None) == "":
        up.current_location = branch or ""
    for name in _dates_of(request.code):
        raw = getattr(request, name)
        if raw is not None:
            setattr(up, name, _date_there(raw, zone, date_zone))
    unknown = request.extra_fields
    if unknown:
        once = _said_once(request.code)
        theirs = [field for field in unknown if field[0] not in once]
        up.extra_fields = carried(theirs, source, target)
    passed: AnyRequest = up
    return passed


def said_material(request: Request, text: TextEncoding) -> str | None:
    """The material that `request` itself names; nobody else is asked for it."""
    for tag, value in request.extra_fields:
        if tag == _MATERIAL:
            return text.decode(value).strip()
    return None


def deed_of(request: Request) -> str:
    """What is asked with a PIN, apart from whom and what it is about.

    A library system may judge the PIN in one message, or in one mode of it, and ignore it in
    another. So an answer to one deed tells nothing of the next (B74, C155).
    """
    modes = [f"{name}={getattr(request, name)}" for name in _modes_of(request.code)]
    return " ".join((request.code, *modes))


def password_word(response: Response) -> bool | None:
    """CQ of any answer, which some systems say in those that do not have it; None if unsaid."""
    said: bool | None = getattr(response, "valid_patron_password", None)
    for tag, value in response.extra_fields:
        if said is None and tag == "CQ" and value in (b"Y", b"N"):
            said = value == b"Y"
    return said
