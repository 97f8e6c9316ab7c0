"""Who stands at the terminal, and 23, 01, 25, 35.  (B18-B32, C1, C38-C41)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from msgspec import Struct

from sip2gw.handlers import profile_fields
from sip2gw.handlers.answers import show_answers
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.snapshot_cache import derived, shared
from sip2gw.model import (
    TEXT_CHARACTERS_MAX,
    Block,
    BlockType,
    Card,
    CardState,
    Fee,
    Minor,
    PatronRecord,
    format_amount,
)
from sip2gw.policy.access import PinState
from sip2gw.policy.money import debts
from sip2gw.policy.obstacles import (
    MONEY_REASONS,
    Obstacle,
    Standing,
    decide_standing,
    visible_badges,
)
from sip2gw.policy.reasons import ALL_DENIED, NO_FLAGS, Reason
from sip2gw.policy.relationships import (
    PayableAccount,
    payable_accounts,
    payable_by,
)
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.messages import (
    BlockPatron,
    EndPatronSession,
    EndSessionResponse,
    PatronEnable,
    PatronEnableResponse,
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.texts import format_money

_OK, _REPLACED = PinState.OK, CardState.REPLACED
"""By name: Python 3.11 takes 0.1 µs to find a member of an enumeration, and each request asks."""


class PresentedCard(Struct):
    """A card at a terminal: whose it is, and whether their data may be shown."""

    number: str
    """As scanned (B21), after the terminal's card rules (B95)."""
    record: PatronRecord | None
    card: Card | None
    pin: PinState
    valid_patron: bool
    """BL."""
    valid_password: bool | None
    """CQ; None leaves it out."""
    tells_main_card: bool = True
    """Whether whoever may see the patron may see the number of the main card as well."""

    hidden: bool = False
    """Whether the profile answers a card that shows no good PIN like an unknown one (B19)."""
    scanned: str = ""
    """As scanned; may be left empty where the number of the main card is told."""

    @property
    def replaced(self) -> bool:
        """Whether the answer calls the card replaced; where cards are hidden it looks unknown."""
        card = self.card
        return card is not None and card.state is _REPLACED and not self.hidden

    @property
    def patron_id(self) -> str:
        """AA of the answer: the main card if it may be shown, else the scanned number (C112)."""
        if self.tells_main_card and (record := self.shown) is not None:
            return record.id
        return self.scanned or self.number

    @property
    def shown(self) -> PatronRecord | None:
        """The record, if its content may be shown at the terminal."""
        withheld = not self.valid_patron or self.pin is not _OK
        return None if withheld else self.record


async def identify(
    session: Session, number: str, pin: str | None, *, pin_required: bool | None = None
) -> PresentedCard:
    """Find the holder of card `number` and verify the PIN (B18-B21, C1, C20).

    Without `pin_required` the terminal's profile says whether a PIN is.
    """
    found = await session.services.identifier.identify(session, number, pin)
    record, card, state = found.record, found.card, found.pin
    if state is _OK:  # as `present` does; most are, and one call less is made for them
        session.note_pin(number, state)
        return PresentedCard(number, record, card, state, True, True)
    if pin_required is None:
        pin_required = session.terminal.identification.pin_required
    return present(session, number, pin, record, card, state, pin_required)


def present(
    session: Session,
    number: str,
    pin: str | None,
    record: PatronRecord | None,
    card: Card | None,
    state: PinState,
    pin_required: bool,
) -> PresentedCard:
    """What may be shown here for a card and PIN that an `Identifier` has judged.

    `PresentedCard.pin` is also `OK` if no PIN was presented and none is required.
    """
    rules = session.terminal.identification
    hidden = rules.wrong_pin_hides_card
    if record is None or card is None or card.state is _REPLACED:
        session.note_pin(number, PinState.WRONG)
        scanned = session.as_scanned(number)
        return PresentedCard(
            number, record, card, PinState.ABSENT, False, False, hidden=hidden, scanned=scanned
        )
    session.note_pin(number, state)
    if state is _OK:
        return PresentedCard(number, record, card, state, True, True)
    scanned = session.as_scanned(number)
    if state is PinState.ABSENT and not pin_required:
        absent = None if pin is None else False
        tells = not rules.pin_required
        return PresentedCard(number, record, card, _OK, True, absent, tells, scanned=scanned)
    return PresentedCard(
        number, record, card, state, not hidden, False, hidden=hidden, scanned=scanned
    )


def standing_of(
    session: Session, record: PatronRecord, card: Card, today: date, *, for_payment: bool = False
) -> Standing:
    """`decide_standing` at the session's branch, remembered with the snapshot."""
    terminal = session.terminal
    return derived(
        record,
        ("standing", terminal.standpoint, card.state, today, for_payment),
        lambda: decide_standing(
            record, card, today, terminal.zone, terminal.max_fee_age_days, for_payment=for_payment
        ),
    )


def withheld_text_key(presented: PresentedCard) -> str:
    """Why nothing is shown, as a text key; hiding profiles give no reason (B19, C99)."""
    if presented.record is not None and presented.card is not None and presented.valid_patron:
        return "pin_needed" if presented.pin is PinState.ABSENT else "wrong_pin"
    return "card_replaced" if presented.replaced else "unknown_card"


def withheld_reason(presented: PresentedCard) -> str:
    """Why nothing is shown, as a word for the log."""
    if presented.record is None or presented.card is None:
        return Reason.UNKNOWN_CARD
    if presented.card.state is CardState.REPLACED:
        return Reason.CARD_REPLACED
    return Reason.PIN_LOCKED if presented.pin is PinState.LOCKED else Reason.WRONG_PIN


def obstacle_text(session: Session, language: str, obstacle: Obstacle) -> str:
    """What the screen says of one obstacle."""
    texts, currency = session.services.texts, session.terminal.currency
    values: dict[str, object] = {}
    if obstacle.amount is not None:
        values["amount"] = format_money(obstacle.amount, currency, language)
    if obstacle.limit is not None:
        values["limit"] = format_money(obstacle.limit, currency, language)
    if obstacle.days is not None:
        values["days"] = obstacle.days
    return texts.text(language, obstacle.text_key, **values)


def screen_texts(
    session: Session, language: str, record: PatronRecord, standing: Standing
) -> tuple[str, ...]:
    """AF of a shown patron: the first obstacle, the first about money, warnings (B25, B32)."""
    texts = session.services.texts
    lines: list[str] = []
    # What a library system denies it has explained itself.
    if ours := standing.obstacles and [one for one in standing.obstacles if not one.theirs]:
        spoken = [ours[0]]
        about_money = (o for o in ours[1:] if o.reason in MONEY_REASONS)
        if spoken[0].reason not in MONEY_REASONS:
            spoken.extend(next(([obstacle] for obstacle in about_money), []))
        lines.extend(obstacle_text(session, language, obstacle) for obstacle in spoken)
    if standing.too_many_items:
        lines.append(texts.text(language, "too_many_items"))
    left = standing.money.alert_left
    if left is not None:
        shown = format_money(left, session.terminal.currency, language)
        lines.append(texts.text(language, "alert", left=shown))
    lines.extend(_optional_texts(session, language, record, standing))
    if session.terminal.presentation.staff_notices:
        lines.extend(record.notices)
    return tuple(lines)


def _optional_texts(
    session: Session, language: str, record: PatronRecord, standing: Standing
) -> Iterator[str]:
    """What else the profile shows about a patron."""
    terminal, texts = session.terminal, session.services.texts
    shown, owed = terminal.presentation, standing.money.owed
    if shown.show_owed_amount and owed:
        amount = format_money(owed, terminal.currency, language)
        yield texts.text(language, "owed", amount=amount)
    if shown.show_home_branch and record.home_branch:
        branch = profile_fields.branch_name(session, record.home_branch)
        yield texts.text(language, "home_branch", branch=branch)


def badge_values(session: Session, codes: Sequence[str]) -> tuple[str, ...]:
    """GL: one field per badge, or one joined field by profile (B22)."""
    separator = session.terminal.presentation.badge_separator
    if separator is None or not codes:
        return tuple(codes)
    return (separator.join(codes),)


async def accounts_payable_by(
    session: Session, record: PatronRecord, today: date
) -> tuple[PayableAccount, ...]:
    """Whose fees `record` may pay at this terminal, besides own (B51, B52)."""
    terminal = session.terminal
    if terminal.presentation.family == "off" or not record.payer_for:
        return ()
    wanted = payable_by(record, terminal.relationships)
    debtors = await session.services.backend.find_patrons(wanted)
    return payable_accounts(record, debtors, terminal.relationships, today)


def response_to(
    request: PatronStatusRequest | PatronInformation,
) -> PatronStatusResponse | PatronInformationResponse:
    """The empty answer to a 23 or 63."""
    if isinstance(request, PatronStatusRequest):
        return PatronStatusResponse(language=request.language)
    return PatronInformationResponse(language=request.language)


async def patron_status(session: Session, request: PatronStatusRequest) -> Answer:
    """Answer a 23 with a 24.  Spec: SIP2 2.00, messages 23 and 24; B18-B25, B27."""
    presented = await identify(session, request.patron_identifier, request.patron_password)
    return await tell_status(session, request, presented)


async def tell_status(
    session: Session, request: PatronStatusRequest, presented: PresentedCard
) -> Answer:
    """The 24 for an identified card."""
    response = PatronStatusResponse(language=request.language)
    record = presented.shown
    if record is None or presented.card is None:
        return withhold(session, response, presented)
    portrait = show(session, response, presented, record, presented.card)
    if record.answers:
        show_answers(session, response, record)
    response.currency_type = session.terminal.currency
    response.fee_amount = portrait.fee_amount
    if record.payer_for and session.terminal.presentation.family == "merged":
        accounts = await accounts_payable_by(session, record, session.now().date())
        response.fee_amount = total_payable(session, record, accounts)
    return shown_answer(response, presented, portrait.standing)


class Portrait(Struct, frozen=True):
    """What one standpoint shows about a patron in one language, the same for a whole day."""

    standing: Standing
    flags: frozenset[PatronFlag]
    badges: tuple[str, ...]
    screen_message: tuple[str, ...]
    fee_amount: str
    """What may be paid of the patron's own fees, as BV."""
    fee_limit: str | None
    """CC; None without a limit."""
    fine_items_count: int
    """Of the patron's own fees."""


def portrait_of(
    session: Session,
    record: PatronRecord,
    card: Card,
    today: date,
    language: str,
    *,
    for_payment: bool,
) -> Portrait:
    """What is shown about `record` here, remembered with the snapshot."""
    terminal = session.terminal

    def draw() -> Portrait:
        standing = standing_of(session, record, card, today, for_payment=for_payment)
        limit = standing.money.limit
        codes = visible_badges(record, terminal.branch or "", today)
        portrait = Portrait(
            standing,
            standing.flags,
            badge_values(session, codes),
            screen_texts(session, language, record, standing),
            total_payable(session, record, ()),
            None if limit is None else format_amount(limit, terminal.currency),
            len(owed_fees(record)),
        )
        return portrait if record.notices else shared(portrait)

    key = ("portrait", terminal.standpoint, card.state, today, language, for_payment)
    return derived(record, key, draw)


_PatronResponse = PatronStatusResponse | PatronInformationResponse | PatronEnableResponse


def show(
    session: Session,
    response: _PatronResponse,
    presented: PresentedCard,
    record: PatronRecord,
    card: Card,
    *,
    for_payment: bool = False,
) -> Portrait:
    """Fill in what 24, 26 and 64 have in common for a patron who may be shown."""
    now = session.now()
    language = session.language(response.language, record)
    portrait = portrait_of(session, record, card, now.date(), language, for_payment=for_payment)
    response.patron_status = portrait.flags
    response.transaction_date = now
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = record.id
    response.personal_name = profile_fields.patron_name(session, record)
    if session.terminal.presentation.patron_fields:
        response.extra_fields = profile_fields.patron_fields(session, record)
    response.valid_patron = True
    response.valid_patron_password = presented.valid_password
    response.badges = portrait.badges
    response.screen_message = portrait.screen_message
    return portrait


def shown_answer(response: _PatronResponse, presented: PresentedCard, standing: Standing) -> Answer:
    """The answer about a shown patron, with its reason for the log."""
    outcome = "refused" if standing.obstacles else "ok"
    return Answer(response, outcome, standing.reason, presented.number)


def payable(session: Session, record: PatronRecord) -> Minor:
    """What of `record`'s fees may be paid at this terminal (C7)."""
    invoiced = session.terminal.payments.invoiced_payable
    return derived(
        record, ("payable", invoiced), lambda: debts.payable_total(record.fees, invoiced)
    )


def owed_fees(record: PatronRecord) -> tuple[Fee, ...]:
    """The fees that count and are listed, after credits (B98, C7)."""
    return derived(record, ("owed",), lambda: debts.owed_fees(record.fees))


def total_payable(
    session: Session, record: PatronRecord, accounts: Sequence[PayableAccount]
) -> str:
    """BV: what may be paid, the accounts of others included (B52)."""
    total = payable(session, record) if record.fees else 0
    for account in accounts:
        total += payable(session, account.debtor)
    return format_amount(total, session.terminal.currency)


def withhold(session: Session, response: _PatronResponse, presented: PresentedCard) -> Answer:
    """Answer with a 24, 26 or 64 that shows nothing of the patron (B18, B19)."""
    response.patron_status = ALL_DENIED
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = presented.patron_id
    response.valid_patron = presented.valid_patron
    response.valid_patron_password = presented.valid_password
    record = presented.record if presented.valid_patron else None
    language = session.language(response.language, record)
    response.screen_message = (session.services.texts.text(language, withheld_text_key(presented)),)
    return Answer(response, "refused", withheld_reason(presented), presented.number)


async def block_patron(session: Session, request: BlockPatron) -> Answer:
    """Answer a 01 with a 24; only a profile that may block does block (B31).

    A 01 carries no PIN, so the answer shows nothing about the patron: the flags say only whether
    this request has blocked the patron (C115).  Spec: SIP2 2.00, message 01.
    """
    services, number = session.services, request.patron_identifier
    record = await services.backend.find_by_card(number) if number else None
    card = record.card(number) if record is not None else None
    known = card is not None and card.state is not CardState.REPLACED
    may_block = session.terminal.rights.may_block_patrons
    hidden = session.terminal.identification.wrong_pin_hides_card and not may_block
    session.note_pin(number, PinState.WRONG)
    known = known and not hidden
    presented = PresentedCard(
        number,
        record,
        card,
        PinState.ABSENT,
        known,
        False,
        hidden=hidden,
        scanned=session.as_scanned(number),
    )
    answer = withhold(session, response := PatronStatusResponse(language="000"), presented)
    if record is None or card is None or not known:
        return answer
    language = session.language("000", record)
    if not may_block:
        response.patron_status = NO_FLAGS
        response.screen_message = (services.texts.text(language, "terminal_not_allowed"),)
        return Answer(response, "refused", "not_allowed", number)
    note = (request.blocked_card_message or "")[:TEXT_CHARACTERS_MAX]
    block = Block(BlockType.GENERAL, note, None, "terminal")
    name = session.terminal.name
    await services.backend.set_block(record.id, block, terminal=name, card=number)
    services.admissions.forget(record.id)
    response.screen_message = (services.texts.text(language, "blocked_by_terminal"),)
    return Answer(response, "ok", "", number)


async def patron_enable(session: Session, request: PatronEnable) -> Answer:
    """Answer a 25 with a 26; lifts only what a 01 set (B31, C41).  Spec: SIP2 2.00, message 25."""
    presented = await identify(session, request.patron_identifier, request.patron_password)
    if presented.shown is not None and session.terminal.rights.may_block_patrons:
        backend = session.services.backend
        await backend.lift_blocks(presented.shown.id, frozenset({"terminal"}))
        presented.record = await backend.find_patron(presented.shown.id)
    response = PatronEnableResponse(language="000")
    record = presented.shown
    if record is None or presented.card is None:
        return withhold(session, response, presented)
    portrait = show(session, response, presented, record, presented.card)
    return shown_answer(response, presented, portrait.standing)


async def end_session(session: Session, request: EndPatronSession) -> Answer:
    """Answer a 35 with a 36, always `Y`.  Spec: SIP2 2.00, message 35; B31."""
    session.verified_card = ""
    response = EndSessionResponse(
        end_session=True,
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=session.as_scanned(request.patron_identifier),
    )
    return Answer(response, card=request.patron_identifier)
