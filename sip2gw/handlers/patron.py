"""Patron status, patron information, block, enable, end of session.  (B18-B32, C1, C36-C41)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TypeVar, cast

from sip2gw.handlers.base import Answer, Session, patron_flags
from sip2gw.model import (
    Block,
    BlockType,
    Card,
    CardState,
    Fee,
    Hold,
    Loan,
    Minor,
    PatronRecord,
    format_amount,
)
from sip2gw.policy.access import PinState
from sip2gw.policy.money import is_owed, payable_total
from sip2gw.policy.reasons import ALL_DENIED, Reason
from sip2gw.policy.relationships import (
    PayableAccount,
    debtor_id_of,
    may_pay_by,
    payable_accounts,
)
from sip2gw.policy.standing import (
    MONEY_REASONS,
    Obstacle,
    Standing,
    decide_standing,
    visible_badges,
)
from sip2gw.protocol.fields import Summary
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

PAYMENT_FETCH = "B"
"""The one value of FW: the patron is fetched in order to pay (B26)."""

_DERIVED_MAX = 32
"""Derived values kept with one snapshot; yesterday's and other branches' go first come."""


@dataclass(slots=True)
class Visit:
    """A card at a terminal: whose it is, and whether their data may be shown."""

    number: str
    """As scanned (B21)."""
    record: PatronRecord | None
    card: Card | None
    pin: PinState
    valid_patron: bool
    """BL."""
    valid_password: bool | None
    """CQ; None leaves it out."""

    @property
    def patron_id(self) -> str:
        """AA of the answer: the main card of a known patron, else what was scanned."""
        return self.record.id if self.record is not None and self.valid_patron else self.number

    @property
    def shown(self) -> PatronRecord | None:
        """The record, if its content may be shown to whoever stands at the terminal."""
        withheld = not self.valid_patron or self.pin is not PinState.OK
        return None if withheld else self.record


async def identify(session: Session, number: str, pin: str | None, *, pin_required: bool) -> Visit:
    """Find the holder of card `number` and judge the PIN (B18-B21, C1, C20).

    `Visit.pin` is `OK` as well when none was presented and none is required.
    """
    services, terminal = session.services, session.terminal
    record = await services.backend.find_by_card(number) if number else None
    card = record.card(number) if record is not None else None
    if record is None or card is None or card.state is CardState.REPLACED:
        session.note_pin(number, PinState.WRONG)
        return Visit(number, record, card, PinState.ABSENT, False, False)
    state = await services.pins.check(record, number, pin, terminal.name, services.clock.now())
    session.note_pin(number, state)
    if state is PinState.OK:
        return Visit(number, record, card, state, True, True)
    if state is PinState.ABSENT and not pin_required:
        return Visit(number, record, card, PinState.OK, True, None if pin is None else False)
    hidden = terminal.profile.wrong_pin_hides_card
    return Visit(number, record, card, state, not hidden, False)


def standing_of(
    session: Session, record: PatronRecord, card: Card, today: date, *, for_payment: bool = False
) -> Standing:
    """`decide_standing` at the session's branch, remembered with the snapshot."""
    terminal = session.terminal
    return _derived(
        record,
        ("standing", card.number, today, terminal.name, for_payment),
        lambda: decide_standing(
            record, card, today, terminal.zone, terminal.max_fee_age_days, for_payment=for_payment
        ),
    )


T = TypeVar("T")


def _derived(record: PatronRecord, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """What `make` makes of `record`, made once and kept with the snapshot under `key`."""
    known = record.extra.get(key)
    if known is None:
        if len(record.extra) >= _DERIVED_MAX:
            record.extra.clear()
        known = record.extra[key] = make()
    return cast("T", known)


def withheld_text_key(visit: Visit) -> str:
    """Why nothing is shown, as a text key; hiding profiles do not tell a wrong PIN (B19)."""
    if visit.record is not None and visit.card is not None and visit.valid_patron:
        return "pin_needed" if visit.pin is PinState.ABSENT else "wrong_pin"
    replaced = visit.card is not None and visit.card.state is CardState.REPLACED
    return "card_replaced" if replaced else "unknown_card"


def withheld_reason(visit: Visit) -> str:
    """Why nothing is shown, as a word for the log."""
    if visit.record is None or visit.card is None:
        return Reason.UNKNOWN_CARD
    if visit.card.state is CardState.REPLACED:
        return Reason.CARD_REPLACED
    return Reason.PIN_LOCKED if visit.pin is PinState.LOCKED else Reason.WRONG_PIN


def _obstacle_text(session: Session, language: str, obstacle: Obstacle) -> str:
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
    if standing.obstacles:
        spoken = [standing.obstacles[0]]
        about_money = (o for o in standing.obstacles[1:] if o.reason in MONEY_REASONS)
        if spoken[0].reason not in MONEY_REASONS:
            spoken.extend(next(([obstacle] for obstacle in about_money), []))
        lines.extend(_obstacle_text(session, language, obstacle) for obstacle in spoken)
    if standing.too_many_items:
        lines.append(texts.text(language, "too_many_items"))
    left = standing.money.alert_left
    if left is not None:
        shown = format_money(left, session.terminal.currency, language)
        lines.append(texts.text(language, "alert", left=shown))
    if session.terminal.profile.staff_notices:
        lines.extend(record.notices)
    return tuple(lines)


def badge_values(session: Session, codes: Sequence[str]) -> tuple[str, ...]:
    """GL: one field per badge, or one joined field by profile (B22)."""
    separator = session.terminal.profile.badge_separator
    if separator is None or not codes:
        return tuple(codes)
    return (separator.join(codes),)


async def accounts_payable_by(
    session: Session, record: PatronRecord, today: date
) -> tuple[PayableAccount, ...]:
    """Whose fees `record` may pay at this terminal, besides own (B51, B52)."""
    terminal = session.terminal
    if terminal.profile.family == "off" or not record.payer_for:
        return ()
    wanted = {
        debtor_id_of(relation)
        for relation in record.payer_for
        if may_pay_by(relation, record.id, terminal.relationships)
    }
    found = [await session.services.backend.find_patron(debtor) for debtor in sorted(wanted)]
    debtors = [debtor for debtor in found if debtor is not None]
    return payable_accounts(record, debtors, terminal.relationships, today)


async def patron_status(session: Session, request: PatronStatusRequest) -> Answer:
    """Answer a 23 with a 24.  Spec: SIP2 2.00, messages 23 and 24; B18-B25, B27."""
    visit = await identify(
        session,
        request.patron_identifier,
        request.patron_password,
        pin_required=session.terminal.profile.pin_required,
    )
    return await tell_status(session, request, visit)


async def tell_status(session: Session, request: PatronStatusRequest, visit: Visit) -> Answer:
    """The 24 for an identified card."""
    response = PatronStatusResponse(language=request.language)
    record = visit.shown
    if record is None or visit.card is None:
        return _withhold(session, response, visit)
    standing = _show(session, response, visit, record, visit.card)
    response.currency_type = session.terminal.currency
    accounts: tuple[PayableAccount, ...] = ()
    if session.terminal.profile.family == "merged":
        accounts = await accounts_payable_by(session, record, session.now().date())
    response.fee_amount = _total(session, record, accounts)
    return _shown_answer(response, visit, standing)


_PatronResponse = PatronStatusResponse | PatronInformationResponse | PatronEnableResponse


def _show(
    session: Session,
    response: _PatronResponse,
    visit: Visit,
    record: PatronRecord,
    card: Card,
    *,
    for_payment: bool = False,
) -> Standing:
    """Fill in what 24, 26 and 64 have in common for a patron who may be shown."""
    now = session.now()
    standing = standing_of(session, record, card, now.date(), for_payment=for_payment)
    language = session.language(response.language, record)
    response.patron_status = patron_flags(standing.flags)
    response.transaction_date = now
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = record.id
    response.personal_name = record.name
    response.valid_patron = True
    response.valid_patron_password = visit.valid_password
    if record.badges:
        codes = visible_badges(record, session.terminal.branch or "", now.date())
        response.badges = badge_values(session, codes)
    response.screen_message = screen_texts(session, language, record, standing)
    return standing


def _shown_answer(response: _PatronResponse, visit: Visit, standing: Standing) -> Answer:
    outcome = "refused" if standing.obstacles else "ok"
    return Answer(response, outcome, standing.reason, visit.number)


def _payable(session: Session, record: PatronRecord) -> Minor:
    invoiced = session.terminal.profile.invoiced_payable
    return _derived(record, ("payable", invoiced), lambda: payable_total(record.fees, invoiced))


def _owed_fees(record: PatronRecord) -> tuple[Fee, ...]:
    return _derived(record, ("owed",), lambda: tuple(filter(is_owed, record.fees)))


def _total(session: Session, record: PatronRecord, accounts: Sequence[PayableAccount]) -> str:
    """BV: what may be paid, the accounts of others included (B52)."""
    total = _payable(session, record) if record.fees else 0
    for account in accounts:
        total += _payable(session, account.debtor)
    return format_amount(total, session.terminal.currency)


def _withhold(session: Session, response: _PatronResponse, visit: Visit) -> Answer:
    """Answer with a 24, 26 or 64 that shows nothing of the patron (B18, B19)."""
    response.patron_status = patron_flags(ALL_DENIED)
    response.transaction_date = session.now()
    response.institution_id = session.terminal.institution_id
    response.patron_identifier = visit.patron_id
    response.valid_patron = visit.valid_patron
    response.valid_patron_password = visit.valid_password
    language = session.language(response.language)
    response.screen_message = (session.services.texts.text(language, withheld_text_key(visit)),)
    return Answer(response, "refused", withheld_reason(visit), visit.number)


def honours_payment_fetch(session: Session, request: PatronInformation) -> bool:
    """Whether this 63's `FW=B` lifts the money block here (B26, C40)."""
    profile = session.terminal.profile
    if request.fetch_reason != PAYMENT_FETCH or profile.kind == "door":
        return False
    return profile.honours_fw_b


async def patron_information(session: Session, request: PatronInformation) -> Answer:
    """Answer a 63 with a 64.  Spec: SIP2 2.00, messages 63 and 64; B18-B32, B52."""
    visit = await identify(
        session,
        request.patron_identifier,
        request.patron_password,
        pin_required=session.terminal.profile.pin_required,
    )
    return await tell_information(session, request, visit)


async def tell_information(session: Session, request: PatronInformation, visit: Visit) -> Answer:
    """The 64 for an identified card."""
    response = PatronInformationResponse(language=request.language)
    record = visit.shown
    if record is None or visit.card is None:
        return _withhold(session, response, visit)
    for_payment = honours_payment_fetch(session, request)
    if for_payment:
        session.services.metrics.fee_limit_lifted += 1
    standing = _show(session, response, visit, record, visit.card, for_payment=for_payment)
    _fill_circulation(response, record, request, session.now())
    await _fill_money(session, response, record, request, standing)
    personal = session.terminal.profile.personal_fields
    if personal:
        _fill_personal(response, record, personal)
    return _shown_answer(response, visit, standing)


def _page(request: PatronInformation, values: list[str]) -> tuple[str, ...]:
    """The slice that BP/BQ ask for: 1-based, inclusive; nonsense means no limit (B28)."""
    if request.start_item is None and request.end_item is None:
        return tuple(values)
    return tuple(values[_index(request.start_item, 1) - 1 : _index(request.end_item, len(values))])


def _index(text: str | None, default: int) -> int:
    cleaned = (text or "").strip()
    if not cleaned.isascii() or not cleaned.isdigit() or len(cleaned) > 6:
        return default
    return int(cleaned) or default


def _fill_circulation(
    response: PatronInformationResponse,
    record: PatronRecord,
    request: PatronInformation,
    now: datetime,
) -> None:
    """Counts always; lists as the summary asks, several categories merged (B28, C36)."""
    if record.membership is not None and record.membership.max_items:
        response.charged_items_limit = record.membership.max_items
    if record.loans:
        overdue = [loan for loan in record.loans if loan.due < now]
        response.overdue_items_count = len(overdue)
        response.charged_items_count = len(record.loans)
        if Summary.OVERDUE in request.summary:
            response.overdue_items = _page(request, [_loan_value(loan) for loan in overdue])
        if Summary.CHARGED in request.summary:
            response.charged_items = _page(request, [_loan_value(loan) for loan in record.loans])
    if record.holds:
        holds = [hold for hold in record.holds if hold.expires is None or now < hold.expires]
        ready = [hold for hold in holds if hold.ready]
        waiting = [hold for hold in holds if not hold.ready]
        response.hold_items_count = len(ready)
        response.unavailable_holds_count = len(waiting)
        if Summary.HOLDS in request.summary:
            response.hold_items = _page(request, [_hold_value(hold) for hold in ready])
        if Summary.UNAVAILABLE_HOLDS in request.summary:
            response.unavailable_hold_items = _page(request, [_hold_value(h) for h in waiting])


def _loan_value(loan: Loan) -> str:
    return loan.item_id


def _hold_value(hold: Hold) -> str:
    return hold.item_id or hold.title_id or hold.id


async def _fill_money(
    session: Session,
    response: PatronInformationResponse,
    record: PatronRecord,
    request: PatronInformation,
    standing: Standing,
) -> None:
    """BH, BV, CC, and what may be paid for others (B25, B52, C36, C37, C77)."""
    terminal = session.terminal
    accounts: tuple[PayableAccount, ...] = ()
    if record.payer_for:
        accounts = await accounts_payable_by(session, record, session.now().date())
    family = terminal.profile.family
    merged = accounts if family == "merged" else ()
    response.currency_type = terminal.currency
    response.fee_amount = _total(session, record, merged)
    if standing.money.limit is not None:
        response.fee_limit = format_amount(standing.money.limit, terminal.currency)
    if record.fees or merged:
        debtors = [record, *(account.debtor for account in merged)]
        response.fine_items_count = sum(len(_owed_fees(debtor)) for debtor in debtors)
    if family == "separate":
        response.payable_accounts = _account_values(session, accounts)
    if Summary.FINES not in request.summary:
        return
    if family == "separate" or terminal.profile.fee_lines == "ZF":
        lines = _lines(session, record, accounts, _extension_line)
        response.payable_fees = _page(request, lines)
    if terminal.profile.fee_lines == "AV":
        response.fine_items = _page(request, _lines(session, record, merged, _fee_line))


_FeeWriter = Callable[[Session, Fee, PayableAccount | None], str]


def _lines(
    session: Session,
    record: PatronRecord,
    accounts: Sequence[PayableAccount],
    write: _FeeWriter,
) -> list[str]:
    """Every owed fee of `record` and then of `accounts`, each as `write` has it."""
    lines: list[str] = []
    for account in (None, *accounts):
        debtor = record if account is None else account.debtor
        lines += _derived(
            debtor,
            ("lines", write, session.terminal.name, account is None),
            partial(_write_lines, session, debtor, account, write),
        )
    return lines


def _write_lines(
    session: Session, debtor: PatronRecord, account: PayableAccount | None, write: _FeeWriter
) -> tuple[str, ...]:
    return tuple(write(session, fee, account) for fee in _owed_fees(debtor))


def _label(account: PayableAccount) -> str:
    """Whose a fee is, in one word: the debtor's first name (C77)."""
    words = account.debtor.name.split()
    return words[0].rstrip(",") if words else account.debtor.id


def _description(session: Session, fee: Fee, account: PayableAccount | None) -> str:
    """What a fee is for; titles of a debtor's items only by profile (B53, C37)."""
    if account is not None and not session.terminal.profile.relation_titles:
        return fee.description if not fee.title else fee.description.replace(fee.title, "").strip()
    return " ".join(part for part in (fee.description, fee.title) if part)


def _fee_line(session: Session, fee: Fee, account: PayableAccount | None) -> str:
    """One AV: fee id, amount, currency, date, label and description (C36)."""
    terminal = session.terminal
    parts = [
        fee.id,
        format_amount(fee.owed, terminal.currency),
        terminal.currency,
        fee.created.astimezone(terminal.zone).date().isoformat(),
        f"{_label(account)}:" if account is not None else "",
        _description(session, fee, account),
    ]
    return " ".join(part for part in parts if part)


def _tilde_line(*parts: str) -> str:
    return "~".join(part.replace("~", "-") for part in parts)


def _extension_line(session: Session, fee: Fee, account: PayableAccount | None) -> str:
    """One ZF: fee id~patron~amount~type~date~description (interface §6)."""
    terminal = session.terminal
    return _tilde_line(
        fee.id,
        fee.patron_id,
        format_amount(fee.owed, terminal.currency),
        fee.type,
        fee.created.astimezone(terminal.zone).date().isoformat(),
        _description(session, fee, account),
    )


def _account_values(session: Session, accounts: Sequence[PayableAccount]) -> tuple[str, ...]:
    """ZR: patron~label~relation~total, for accounts with something payable (C37)."""
    terminal = session.terminal
    values = []
    for account in accounts:
        total = _payable(session, account.debtor)
        if total:
            amount = format_amount(total, terminal.currency)
            values.append(_tilde_line(account.debtor.id, _label(account), account.relation, amount))
    return tuple(values)


def _fill_personal(
    response: PatronInformationResponse, record: PatronRecord, fields: frozenset[str]
) -> None:
    """BD BE BF PB PC, only those that the profile names (B30)."""
    if "BD" in fields:
        response.home_address = record.address
    if "BE" in fields:
        response.email = record.email
    if "BF" in fields:
        response.home_phone = record.phone
    if "PB" in fields and record.birth_date is not None:
        response.birth_date = record.birth_date.strftime("%Y%m%d")
    if "PC" in fields and record.membership is not None:
        response.patron_class = record.membership.code


async def block_patron(session: Session, request: BlockPatron) -> Answer:
    """Answer a 01 with a 24; only a profile that may block does block (B31).

    Nobody has shown a PIN, so nothing of the patron is shown. Spec: SIP2 2.00, message 01.
    """
    services, number = session.services, request.patron_identifier
    record = await services.backend.find_by_card(number) if number else None
    card = record.card(number) if record is not None else None
    known = card is not None and card.state is not CardState.REPLACED
    session.note_pin(number, PinState.WRONG)
    visit = Visit(number, record, card, PinState.ABSENT, known, False)
    answer = _withhold(session, response := PatronStatusResponse(language="000"), visit)
    if record is None or card is None or not known:
        return answer
    language = session.language("000")
    if not session.terminal.profile.may_block_patrons:
        standing = standing_of(session, record, card, session.now().date())
        response.patron_status = patron_flags(standing.flags)
        response.screen_message = (services.texts.text(language, "terminal_not_allowed"),)
        return Answer(response, "refused", "not_allowed", number)
    note = request.blocked_card_message or ""
    await services.backend.set_block(record.id, Block(BlockType.GENERAL, note, None, "terminal"))
    response.screen_message = (services.texts.text(language, "blocked_by_terminal"),)
    return Answer(response, "ok", "", number)


async def patron_enable(session: Session, request: PatronEnable) -> Answer:
    """Answer a 25 with a 26; lifts only what a 01 set (B31, C41).  Spec: SIP2 2.00, message 25."""
    profile = session.terminal.profile
    visit = await identify(
        session,
        request.patron_identifier,
        request.patron_password,
        pin_required=profile.pin_required,
    )
    if visit.shown is not None and profile.may_block_patrons:
        backend = session.services.backend
        await backend.lift_blocks(visit.shown.id, frozenset({"terminal"}))
        visit.record = await backend.find_patron(visit.shown.id)
    response = PatronEnableResponse(language="000")
    record = visit.shown
    if record is None or visit.card is None:
        return _withhold(session, response, visit)
    standing = _show(session, response, visit, record, visit.card)
    return _shown_answer(response, visit, standing)


async def end_session(session: Session, request: EndPatronSession) -> Answer:
    """Answer a 35 with a 36, always `Y`.  Spec: SIP2 2.00, message 35; B31."""
    session.verified_card = ""
    response = EndSessionResponse(
        end_session=True,
        transaction_date=session.now(),
        institution_id=session.terminal.institution_id,
        patron_identifier=request.patron_identifier,
    )
    return Answer(response, card=request.patron_identifier)
