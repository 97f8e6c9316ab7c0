"""What a patron may pay for others, where only our store knows who belongs to whom.

The library system is asked about each of them by a 63 without a PIN, one after the other. Whoever
it says nothing about is left out, and the patron is told so.

Rules: B51, B52, B53, B76, C37, C77, C150.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from sip2gw.backend.base import BackendError
from sip2gw.handlers.base import Session
from sip2gw.handlers.fee_lines import account_values, extension_lines, fee_lines
from sip2gw.handlers.patron import owed_fees, total_payable
from sip2gw.handlers.snapshot_cache import derived
from sip2gw.handlers.upstream.behind import identifier_of, is_offered, library_of
from sip2gw.model import PatronRecord
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.relationships import PayableAccount, payable_accounts
from sip2gw.policy.upstream.family import as_debtor, debtors_to_ask, says_debt, told_apart
from sip2gw.policy.upstream.fees import OPEN_AMOUNT, fee_list_of
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)
from sip2gw.protocol.timestamps import write_timestamp


async def debtors_of(
    session: Session, payer: PatronRecord, *, with_lines: bool
) -> AsyncIterator[PatronRecord | None]:
    """Ask about everybody for whom `payer` may pay; None for each who is left out.

    Their snapshots have nothing but what the payer may learn (B53).

    Args:
        session: at whose terminal the payer stands.
        payer: who has shown the PIN, where one is required.
        with_lines: whether single fees matter, or only what they come to.
    """
    terminal = session.terminal
    wanted, is_everybody = debtors_to_ask(payer, terminal.relationships, session.now().date())
    # A session of its own: whom we ask about now is not who stands at the terminal.
    aside = Session(session.services, terminal)
    try:
        for debtor_id in wanted:
            yield await _debtor(aside, debtor_id, with_lines=with_lines)
    finally:
        library_of(session)[0].release(aside.lease)
    if not is_everybody:
        yield None


def may_be_for_others(session: Session, payer: PatronRecord, debtor_card: str | None) -> bool:
    """Whether a payment by `payer` may be for somebody else (B51); where fees are shown apart,
    only for whom ZD, the `debtor_card`, names (C37)."""
    family = session.terminal.presentation.family
    if family == "off" or not payer.payer_for:
        return False
    is_own = debtor_card is None or payer.card(debtor_card) is not None
    return family == "merged" or not is_own


async def payment_facts(session: Session, payer: PatronRecord) -> PaymentFacts:
    """What a payment by `payer` is decided on: their snapshot, as a 63 has just shown them, and
    those of their debtors (B51).

    Whoever the library system does not tell about now cannot be paid for now.
    """
    asked = [one async for one in debtors_of(session, payer, with_lines=True)]
    _, *debtors = told_apart([payer, *filter(None, asked)])
    return PaymentFacts(payer, tuple(debtors))


async def _debtor(aside: Session, number: str, *, with_lines: bool) -> PatronRecord | None:
    """The library system's word about one debtor; None if there is none."""
    try:
        asked = await identifier_of(aside).ask(aside, _question(aside, number, with_lines))
    except BackendError:
        return None
    record, answer = asked.record, asked.response
    if record is None or answer is None or record.id != number or not says_debt(answer, record):
        return None
    titles = aside.terminal.presentation.relation_titles
    return derived(record, ("debtor", titles), lambda: as_debtor(record, tells_titles=titles))


def _question(
    session: Session, number: str, with_lines: bool
) -> PatronInformation | PatronStatusRequest:
    """A 63, or a 23 where that is not offered: it says the amount as well."""
    _, manner = library_of(session)
    date = write_timestamp(session.now())
    question = PatronInformation(
        transaction_date=date,
        summary=frozenset({fee_list_of(manner.facts)} if with_lines else ()),
        patron_identifier=number,
    )
    if is_offered(session, question):
        return question
    return PatronStatusRequest(transaction_date=date, patron_identifier=number)


async def tell_family(
    session: Session,
    request: PatronStatusRequest | PatronInformation,
    response: PatronStatusResponse | PatronInformationResponse,
    payer: PatronRecord,
) -> None:
    """Tell with `payer`'s 24 or 64 what may be paid for others, as the profile says (B52)."""
    family = session.terminal.presentation.family
    is_status = isinstance(response, PatronStatusResponse)
    if family == "off" or (is_status and family == "separate"):
        return
    lists_fees = isinstance(request, PatronInformation) and _lists_fees(request)
    asked: list[PatronRecord | None] = []
    try:
        async for debtor in debtors_of(session, payer, with_lines=lists_fees):
            asked.append(debtor)
    except asyncio.CancelledError:  # the deadline ends the asking, not the answer
        asked.append(None)
    _, *debtors = told_apart([payer, *filter(None, asked)])
    accounts = payable_accounts(
        payer, debtors, session.terminal.relationships, session.now().date()
    )
    if family == "merged" and accounts:
        _add_amounts(session, response, payer, accounts)
    if isinstance(response, PatronInformationResponse):
        if family == "separate":
            response.payable_accounts = account_values(session, accounts)
        if lists_fees:
            _list_fees(session, response, payer, accounts)
    if None in asked:
        language = session.language(request.language, payer)
        text = session.services.texts.text(language, "family_incomplete")
        response.screen_message = (*response.screen_message, text)


def _lists_fees(request: PatronInformation) -> bool:
    """A page of the list is theirs alone: nobody could say on which page others' fees stand."""
    is_page = request.start_item is not None or request.end_item is not None
    return Summary.FINES in request.summary and not is_page


def _add_amounts(
    session: Session,
    response: PatronStatusResponse | PatronInformationResponse,
    payer: PatronRecord,
    accounts: Sequence[PayableAccount],
) -> None:
    """BV is the sum; theirs if we cannot read it."""
    if says_debt(response, payer):
        response.fee_amount = total_payable(session, payer, accounts)
        response.currency_type = session.terminal.currency
    if isinstance(response, PatronInformationResponse):
        response.fine_items_count += sum(len(owed_fees(one.debtor)) for one in accounts)


def _list_fees(
    session: Session,
    response: PatronInformationResponse,
    payer: PatronRecord,
    accounts: Sequence[PayableAccount],
) -> None:
    """AV and ZF by profile. In AV own lines are theirs where no fee can be read in them, and where
    fees are shown apart (C77)."""
    shown = session.terminal.presentation
    if shown.family == "separate" or shown.fee_lines == "ZF":
        response.payable_fees = tuple(extension_lines(session, payer, accounts))
    if shown.fee_lines != "AV":
        response.fine_items = ()
    elif shown.family == "merged":
        lines, own = fee_lines(session, payer, accounts), owed_fees(payer)
        if all(fee.id == OPEN_AMOUNT for fee in own):
            lines[: len(own)] = response.fine_items
        response.fine_items = tuple(lines)
