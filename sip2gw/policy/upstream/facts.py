"""A 24 or 64 of a library system becomes the snapshot that policies decide on.  (B72, C121, C150)

Pure, and made for hostile input: whatever stands in a field, a fact is right or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import (
    BadgeAssignment,
    Card,
    CardHere,
    Fee,
    LibraryWord,
    Membership,
    Origin,
    PatronRecord,
    Until,
)
from sip2gw.policy.statuses import BLOCKING_STATUSES, NORMAL_STATUS, status_of
from sip2gw.policy.upstream.denials import about_money, owes_too_much
from sip2gw.policy.upstream.fees import FeeLine, open_fees, read_lines, read_money
from sip2gw.policy.upstream.fields import Decode, Fields, PatronAnswer, read_date
from sip2gw.policy.upstream.rules import BY_FLAGS, Fact, FactRules
from sip2gw.protocol.messages import PatronInformationResponse
from sip2gw.protocol.structs import Discreet, Hidden

_BORN_SINCE = date(1900, 1, 2)
"""Library systems write the first of January 1900, or of the year 1, where they know none."""


class Facts(Discreet, Struct, frozen=True):
    """What an answer says about a patron; None and empty: it does not say it."""

    id: Hidden[str]
    """AA."""
    name: Hidden[str]
    word: LibraryWord
    address: Hidden[str | None] = None
    email: Hidden[str | None] = None
    phone: Hidden[str | None] = None
    birth_date: Hidden[date | None] = None
    membership: str | None = None
    """The code, in our words."""
    membership_until: date | None = None
    badges: tuple[str, ...] = ()
    home_branch: str | None = None
    lines: Hidden[tuple[FeeLine, ...]] = ()
    """The fee list, if the answer has it and the rules can read it."""
    fees: Hidden[tuple[Fee, ...]] = ()
    """What is owed: fees with an id, and the rest as one."""
    is_full: bool = True
    """Whether a 64 says it. A 24 has few facts: what is missing there may be so all the same."""


def deny_doubtful(response: PatronAnswer) -> None:
    """Make BL and CQ a no where a repeated one is not Y: what is said both ways is unknown, and
    unknown is never yes (C121).

    It follows from the answer alone, so one that is kept for others may be changed like this.
    """
    for tag, value in response.extra_fields:
        if tag == "BL" and value != b"Y":
            response.valid_patron = False
        elif tag == "CQ" and value != b"Y":
            response.valid_patron_password = False


def says_nothing(response: PatronAnswer, *, with_pin: bool = True) -> bool:
    """Whether an answer says nothing about a patron: its flags, counts and fields mean nothing
    and are never kept (C158).

    Args:
        with_pin: whether a non-empty AD went up. Only then CQ counts: some library systems say N
            where no PIN was asked.
    """
    return response.valid_patron is False or (with_pin and response.valid_patron_password is False)


def pin_is_right(response: PatronAnswer) -> bool:
    """Whether they say that the PIN that went up is right; saying nothing is not yes (C158)."""
    return response.valid_patron is not False and response.valid_patron_password is True


def pin_word(response: PatronAnswer, *, says_cq: bool) -> bool | None:
    """What an answer says of the PIN that went up; None: nothing (B74, C158).

    Args:
        says_cq: whether they have said in such an answer that a PIN is right. Then they leave CQ
            out where it is wrong.
    """
    if pin_is_right(response):
        return True
    return False if says_cq or says_nothing(response) else None


def read_facts(response: PatronAnswer, rules: FactRules, currency: str, decode: Decode) -> Facts:
    """The facts in an answer about a patron; one that `says_nothing` must not come here.

    Args:
        currency: of the site; BH is often wrong and not looked at.
        decode: reads the text of fields that the message does not declare.
    """
    fields = Fields(response, decode)
    until, worth = _until(fields, rules.membership_until)
    membership = _first_word(fields, rules.membership)
    balance = read_money(fields.first("BV"), currency)
    lines = read_lines(fields, rules.fees, currency)
    number = response.patron_identifier.strip()
    flags, texts = response.patron_status, response.screen_message
    money_flags, money_texts = about_money(flags, texts, rules.denials_by_money)
    return Facts(
        id=number,
        name=response.personal_name.strip(),
        word=LibraryWord(
            flags, texts, worth, membership is not None, balance, money_flags, money_texts
        ),
        address=fields.first("BD"),
        email=fields.first("BE"),
        phone=fields.first("BF"),
        birth_date=_born(fields, rules.birth_date),
        membership=membership,
        membership_until=until,
        badges=tuple(dict.fromkeys(_words(fields, rules.badges))),
        home_branch=_first_word(fields, rules.home_branch),
        lines=lines,
        fees=open_fees(lines, balance, number),
        is_full=isinstance(response, PatronInformationResponse),
    )


def _texts(fields: Fields, fact: Fact) -> Iterator[str]:
    """The values of the fact's field that are not empty, cut and trimmed."""
    for value in fields.values(fact.field):
        text = value[: fact.length].strip()
        if text:
            yield text


def _words(fields: Fields, fact: Fact | None) -> Iterator[str]:
    """The codes that the fact says, in our words."""
    if fact is None:
        return
    for text in _texts(fields, fact):
        word = fact.map.get(text, fact.default) if fact.map else text
        if word and word.isprintable():
            yield word


def _first_word(fields: Fields, fact: Fact | None) -> str | None:
    return next(_words(fields, fact), None) if fact is not None else None


def _date(fields: Fields, fact: Fact | None) -> date | None:
    """The date that the fact says; `default` stands for one that cannot be read."""
    text = next(_texts(fields, fact), None) if fact is not None else None
    if fact is None or text is None:
        return None
    said = read_date(fact.map.get(text, text), fact.formats)
    return said or read_date(fact.default or "", fact.formats)


def _born(fields: Fields, fact: Fact | None) -> date | None:
    """The birth date; one that nobody can have stands for none, and makes nobody old enough."""
    said = _date(fields, fact)
    return said if said is not None and said >= _BORN_SINCE else None


def _until(fields: Fields, fact: Fact | None) -> tuple[date | None, Until]:
    """The last day of the membership, and what the answer's word about it is worth."""
    if fact is None:
        return None, Until.UNMAPPED
    day = _date(fields, fact)
    if day is not None:
        return day, Until.KNOWN
    return None, Until.BY_FLAGS if fact.default == BY_FLAGS else Until.UNREADABLE


def record_of(
    facts: Facts, number: str, here: CardHere, membership: Membership | None
) -> PatronRecord:
    """The snapshot of the patron with card `number`: their facts with ours laid over them.

    What both could know is theirs where they say it. What only we can know is ours.

    Args:
        here: what our store says of that card.
        membership: our definition of `facts.membership`; None if we have none.
    """
    ours = here.holder
    known = ours if ours is not None else PatronRecord(facts.id, "")
    if membership is None:
        membership = _membership(facts, known)
    until = facts.membership_until or known.membership_until
    return PatronRecord(
        id=facts.id,
        name=facts.name or known.name,
        birth_date=facts.birth_date or known.birth_date,
        membership=membership,
        membership_from=known.membership_from,
        membership_until=until,
        status=_status(known),
        home_branch=facts.home_branch or known.home_branch,
        language=known.language,
        email=facts.email or known.email,
        phone=facts.phone or known.phone,
        address=facts.address or known.address,
        cards=_cards(number, facts.id, known),
        badges=_badges(facts, known),
        blocks=known.blocks,
        notices=known.notices,
        answers=known.answers,
        house_rules_accepted=known.house_rules_accepted,
        fee_limit=known.fee_limit,
        fees=facts.fees,
        payer_for=known.payer_for,
        door_entries=(*known.door_entries, *here.listed),
        word=replace(
            facts.word,
            # That we know what they do not say.
            until=facts.word.until if until is None else Until.KNOWN,
            membership_known=membership is not None,
            origin=Origin(facts, ours.id if ours is not None else None),
        ),
    )


_SILENT_IN_24 = (
    "name",
    "address",
    "email",
    "phone",
    "birth_date",
    "membership",
    "membership_until",
    "home_branch",
)
"""Facts that a 24 need not say. A badge is not among them: where it is missing it was taken."""


def completed(record: PatronRecord, earlier: PatronRecord) -> PatronRecord:
    """`record`, and what its 24 does not say as the 64 behind `earlier` said it (B40).

    Whatever the 24 says counts: flags, texts, and facts that differ. Debts that it does not mention
    are those of the 64, unless its flags say for the first time that they are too high.
    """
    origin, before = _origin_of(record), _origin_of(earlier)
    if origin is None or before is None or origin.facts.is_full or not before.facts.is_full:
        return record
    said: Facts = origin.facts
    facts = _filled(said, before.facts)
    # Their facts are laid over our part anew, which is in the record.
    membership = record.membership if facts.membership is said.membership else earlier.membership
    full = record_of(facts, record.cards[0].number, CardHere(record), membership)
    assert full.word is not None
    assert record.word is not None
    whole = Origin(facts, origin.known_as)
    return replace(full, word=replace(full.word, origin=whole, pending=record.word.pending))


def says_the_same(record: PatronRecord, other: PatronRecord) -> bool:
    """Whether the answers behind both say the same, as far as that of `record` says anything."""
    return _origin_of(completed(record, other)) == _origin_of(other)


def _origin_of(record: PatronRecord) -> Origin | None:
    return record.word.origin if record.word is not None else None


def _filled(said: Facts, known: Facts) -> Facts:
    """What was `said`, and where it is silent what was `known`."""
    gaps = {name: getattr(known, name) for name in _SILENT_IN_24 if not getattr(said, name)}
    word = said.word
    news = owes_too_much(word.flags) and not owes_too_much(known.word.flags)
    if word.fee_amount is None and not said.fees and not news:
        gaps.update(lines=known.lines, fees=known.fees)
        word = replace(word, fee_amount=known.word.fee_amount)
    return replace(said, **gaps, word=word, is_full=True)


def is_numbered_here(record: PatronRecord) -> bool:
    """Whether our store knew the patron of a snapshot, and by the number that they have there."""
    origin = record.word.origin if record.word is not None else None
    return origin is not None and origin.known_as == record.id


def _membership(facts: Facts, known: PatronRecord) -> Membership | None:
    """A membership without a definition: its code counts at doors, and it limits nothing."""
    if facts.membership is None:
        return known.membership
    return Membership(facts.membership, facts.membership, 0)


def _status(known: PatronRecord) -> int:
    status = status_of(known)
    return status if status in BLOCKING_STATUSES else NORMAL_STATUS


def _cards(number: str, main: str, known: PatronRecord) -> tuple[Card, ...]:
    """The card that was asked for, the one of the answer, and what others we know.

    The PIN belongs to the patron, so its failures are those of any card of theirs.
    """
    ours = {card.number: card for card in known.cards}
    pin = known.cards[0] if ours else Card(number)
    return tuple(
        ours.get(held)
        or Card(held, pin_failures=pin.pin_failures, pin_locked_until=pin.pin_locked_until)
        for held in dict.fromkeys((number, main, *ours))
    )


def _badges(facts: Facts, known: PatronRecord) -> tuple[BadgeAssignment, ...]:
    """Ours, and theirs that we do not have: ours may be limited in time and place."""
    ours = {badge.code for badge in known.badges}
    theirs = (BadgeAssignment(code) for code in facts.badges if code not in ours)
    return (*known.badges, *theirs)
