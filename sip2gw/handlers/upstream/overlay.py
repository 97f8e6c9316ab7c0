"""What we lay over a library system's 24 or 64 about a patron who may be shown.

Rules: B22, B25, B30, B72, C33, C123, C150, C153. What is not named here leaves as it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.handlers import profile_fields
from sip2gw.handlers.answers import show_answers
from sip2gw.handlers.base import Answer, Session, TerminalView
from sip2gw.handlers.patron import (
    PresentedCard,
    badge_values,
    screen_texts,
    shown_answer,
    standing_of,
)
from sip2gw.handlers.snapshot_cache import derived, recalled
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.model import Card, PatronRecord, format_amount
from sip2gw.policy.obstacles import visible_badges
from sip2gw.policy.upstream.fees import read_money
from sip2gw.protocol.encoding import recode
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.messages import (
    ItemInformationResponse,
    LoanResponse,
    PatronInformationResponse,
    PatronStatusResponse,
    Response,
)
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.written import Written

_PERSONAL = frozenset({"BD", "BE", "BF", "PB", "PC"})
"""What `personal_fields` may name (B30)."""
_BIRTH_DATE = "PB"
"""Its entry for the birth date, whatever field the library system says it in."""
_MEMBERSHIP = "PC"
"""The same for the membership."""
_SAID_ONCE = frozenset({"AO", "AA", "AB", "AE", "BL", "CQ", "BH", "BV", "CC"})
"""Fields that we say in our own words, or that say who and whether: a second one that came along
could show what the profile does not, or say yes where we say no."""

_Response = PatronStatusResponse | PatronInformationResponse
WithMoney = LoanResponse | ItemInformationResponse
"""Answers about items that may name a fee."""

_ATTRIBUTES: dict[type[Any], dict[str, str]] = {
    kind: {p.place.tag: p.attribute for p in layout_of(kind).tagged if p.absent is None}
    for kind in (PatronStatusResponse, PatronInformationResponse)
}
"""The attribute of each field that may be left out, by its tag."""


class Overlay(Discreet, Struct, frozen=True):
    """What we answer about a patron, the same for a whole day."""

    response: Hidden[_Response]
    """Of everybody who is told the same: nobody may change it, but for its date."""
    outcome: str
    reason: str
    written: Hidden[Written | None]
    """Its bytes, as they left last; None where each needs a copy, because something of the moment,
    or of other patrons, may be added to it."""


def lay_over(
    session: Session,
    theirs: _Response,
    presented: PresentedCard,
    record: PatronRecord,
    card: Card,
    *,
    for_payment: bool,
) -> Answer:
    """The library system's answer made ours.

    `record` is the snapshot that `theirs` has given: what is made of both is kept with it.
    """
    terminal, now = session.terminal, session.now()
    today, language = now.date(), session.language(theirs.language, record)
    password = presented.valid_password
    key = ("overlay", terminal.standpoint, card.state, today, language, for_payment, password)
    overlay: Overlay | None = recalled(record, key)
    if overlay is None:
        made = _overlay(
            session, theirs, presented, record, card, today, language, for_payment=for_payment
        )
        overlay = derived(record, key, lambda: made)
    response, written = overlay.response, overlay.written
    if written is None:
        response = replace(response)
        if record.answers:
            show_answers(session, response, record)
    response.transaction_date = now
    return Answer(response, overlay.outcome, overlay.reason, presented.number, written=written)


def _may_grow(terminal: TerminalView, record: PatronRecord) -> bool:
    """Whether something of this moment, or of other patrons, may be added to the answer."""
    return (
        bool(record.answers)
        or terminal.presentation.family != "off"
        or terminal.rights.renewals_of_authorisers
    )


def _overlay(
    session: Session,
    response: _Response,
    presented: PresentedCard,
    record: PatronRecord,
    card: Card,
    today: date,
    language: str,
    *,
    for_payment: bool,
) -> Overlay:
    terminal, password = session.terminal, presented.valid_password
    standing = standing_of(session, record, card, today, for_payment=for_payment)
    texts = _their_texts(response, record, for_payment=for_payment)
    codes = visible_badges(record, terminal.branch or "", today)
    answer = replace(
        response,
        institution_id=terminal.institution_id,
        patron_status=standing.flags,
        personal_name=profile_fields.patron_name(session, record),
        badges=badge_values(session, codes),
        screen_message=(*texts, *screen_texts(session, language, record, standing)),
    )
    # CQ is theirs, but for a yes about a PIN that nobody gave (B18, C158).
    if password is not None or answer.valid_patron_password:
        answer.valid_patron_password = password
    tell_money(answer, terminal.currency)
    _withhold_fields(session, answer, record)
    told = shown_answer(answer, presented, standing)
    written = None if _may_grow(terminal, record) else Written()
    return Overlay(answer, told.outcome, told.reason, written)


def _their_texts(
    response: _Response, record: PatronRecord, *, for_payment: bool
) -> tuple[str, ...]:
    """AF as it came; for who pays, without what the operator declares to be about money (C123)."""
    lifted = record.word.money_texts if for_payment and record.word is not None else ()
    return tuple(text for text in response.screen_message if text not in lifted)


def tell_money(response: _Response | WithMoney, currency: str) -> None:
    """BV and CC as plain decimals where they can be read, in the site's currency (C150)."""
    fee = read_money(response.fee_amount or "", currency)
    if fee is not None:
        response.fee_amount = format_amount(fee, currency)
    if fee is not None or response.currency_type is not None:
        response.currency_type = currency
    if isinstance(response, PatronInformationResponse):
        limit = read_money(response.fee_limit or "", currency)
        if limit is not None:
            response.fee_limit = format_amount(limit, currency)


def _withhold_fields(session: Session, response: _Response, record: PatronRecord) -> None:
    """Leave out what the profile does not show, and add its own fields (B30, C33, C86, C153)."""
    withheld = withheld_fields(session)
    attributes = _ATTRIBUTES[type(response)]
    for tag in withheld:
        attribute = attributes.get(tag)
        if attribute is not None:
            setattr(response, attribute, None)
    custom = profile_fields.patron_fields(session, record)
    withheld |= {tag for tag, _ in custom}
    response.extra_fields = [*unknown_fields(session, response, withheld), *custom]


def withheld_fields(session: Session) -> frozenset[str]:
    """The fields with personal data that the profile does not name."""
    named = frozenset(session.terminal.presentation.personal_fields)
    withheld = _PERSONAL - named
    _, manner = library_of(session)
    facts = manner.facts
    for fact, entry in ((facts.birth_date, _BIRTH_DATE), (facts.membership, _MEMBERSHIP)):
        if fact is not None and entry not in named:
            withheld |= {fact.field}
    return withheld


def unknown_fields(
    session: Session, response: Response, withheld: frozenset[str]
) -> Iterator[tuple[str, bytes]]:
    """Their fields that we do not know, and repeated ones, as the terminal may see them."""
    terminal, (_, manner) = session.terminal, library_of(session)
    declared = {placed.place.tag for placed in layout_of(type(response)).tagged}
    withheld = withheld | withheld_fields(session) | (declared & _SAID_ONCE)
    hidden, allowed = terminal.wire.hidden_fields, terminal.presentation.allow_fields
    for tag, value in response.extra_fields:
        if tag in withheld or tag in hidden or (allowed and tag not in allowed):
            continue
        yield tag, recode(value, manner.text, terminal.wire.text)
