"""What a profile's templates say about patrons, fees and items. (C86)

Callers ask only for patrons whose data may be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import CustomField
from sip2gw.model import PatronRecord
from sip2gw.model.items import ItemRecord, QueuedHold
from sip2gw.policy.money.debts import owed_total
from sip2gw.protocol.fields import VALUE_BYTES_MAX
from sip2gw.texts import format_day, format_money, templates
from sip2gw.texts.templates import fill, first_word

ExtraFields = list[tuple[str, bytes]]


def patron_name(session: Session, record: PatronRecord) -> str:
    """AE of a patron who is shown."""
    template = session.terminal.presentation.template_ae
    if template == "{name}":
        return record.name
    return fill(template, _patron_values(session, record))


def holder_name(session: Session, hold: QueuedHold) -> str:
    """DA: for whom an item was set aside."""
    return waiting_name(session, hold.patron_id, hold.patron_name)


def waiting_name(session: Session, card: str, name: str) -> str:
    """DA of somebody who has this card and name."""
    template = session.terminal.presentation.template_da
    return fill(template, {"card": card, "name": name, "first_word": first_word(name)})


def branch_name(session: Session, code: str | None) -> str:
    """What people call a branch; its code when it has no name."""
    return session.terminal.branches.get(code or "", "") or code or ""


def patron_fields(session: Session, record: PatronRecord) -> ExtraFields:
    """The profile's own fields about a patron who is shown."""
    values = _patron_values(session, record)
    return _filled(session, session.terminal.presentation.patron_fields, values)


def item_fields(session: Session, record: ItemRecord) -> ExtraFields:
    """The profile's own fields about an item."""
    item = record.item
    values = {
        "item": item.id,
        "title": item.title,
        "title_id": item.title_id,
        "author": item.author,
        "material": item.material,
        "media_type": item.media_type,
        "owner_branch": item.owner_branch,
        "current_branch": record.state.current_branch,
        "shelf": item.shelf,
        "call_number": item.call_number,
        "attachment": item.attachment,
    }
    return fields_about_item(session, values)


def fields_about_item(session: Session, values: Mapping[str, object]) -> ExtraFields:
    """The same for an item of which `values` are known; what is missing is empty."""
    known = dict.fromkeys(templates.ITEM.names) | dict(values)
    return _filled(session, session.terminal.presentation.item_fields, known)


def _patron_values(session: Session, record: PatronRecord) -> dict[str, object]:
    """The values of `templates.PATRON`; the configuration has checked which are allowed."""
    terminal, membership = session.terminal, record.membership
    language = session.language("000", record)
    until, born = record.membership_until, record.birth_date
    owed = owed_total(record.fees)
    return {
        "card": record.id,
        "name": record.name,
        "first_word": first_word(record.name),
        "membership": membership and membership.description,
        "membership_code": membership and membership.code,
        "membership_until": until and format_day(until, language),
        "home_branch": branch_name(session, record.home_branch),
        "language": record.language,
        "owed": format_money(owed, terminal.currency, language),
        "birth_date": born and format_day(born, language),
        "address": record.address,
        "email": record.email,
        "phone": record.phone,
    }


def _filled(
    session: Session, custom: Iterable[CustomField], values: Mapping[str, object]
) -> ExtraFields:
    """Each field with something to say, ready for the wire (B4)."""
    text = session.terminal.wire.text
    said = ((tag, text.fit(fill(template, values), VALUE_BYTES_MAX)) for tag, template in custom)
    return [(tag, text.encode(value)) for tag, value in said if value]
