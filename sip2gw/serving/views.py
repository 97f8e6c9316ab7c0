"""The configuration turned into what handlers look at: one ready view per terminal.

Everything that a profile, a branch and the institution settle is settled here, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from sip2gw.backend.base import Capability
from sip2gw.config import (
    Config,
    DoorTable,
    Profile,
    Terminal,
)
from sip2gw.config.tables.options import CHECKIN_REFUSALS, ItemFieldTable, PatronFieldTable
from sip2gw.config.tables.upstream import Account
from sip2gw.handlers import (
    Family,
    Standpoint,
    TerminalView,
    failing_of,
    handlers_of,
)
from sip2gw.handlers.rules import (
    CustomField,
    DataLimit,
    DoorManner,
    Identification,
    Presentation,
    Rights,
    Till,
    UpstreamManner,
    WiseManner,
)
from sip2gw.policy.items.decisions import CirculationRules, Materials
from sip2gw.policy.items.sorting import SortRule
from sip2gw.policy.money.debts import PaymentRules
from sip2gw.policy.money.receipts import ReceiptRules
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.fields import VALUE_BYTES_MAX
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.registry import RESPONSES
from sip2gw.protocol.wire import UNCUT, WireFormat
from sip2gw.texts import Catalogue

T = TypeVar("T", bound=Struct)

_CODES_BY_CAPABILITY = {
    Capability.PAYMENTS: frozenset({"37", "41"}),
    Capability.BLOCKS: frozenset({"01", "25"}),
    Capability.CIRCULATION: frozenset({"09", "11", "15", "17", "19", "29", "65"}),
    Capability.PATRONS: frozenset({"23", "63", "35"}),
}

_NEVER_HIDDEN_BY_ALLOWING = frozenset({"BL", "CQ", "BK"})
"""An allow list is about content; these say whether the card, the PIN and the payment are good."""


def _like(kind: type[T], table: object, **given: object) -> T:
    """A `kind` of what is `given` and, for its other fields, the keys of `table` of that name."""
    names = (name for name in kind.__struct_fields__ if name not in given)
    return kind(**given, **{name: getattr(table, name) for name in names})


# Of a profile --------------------------------------------------------------------------------


@cache
def _optional_tags() -> frozenset[str]:
    """Tags that no response demands."""
    places = [place for kind in RESPONSES.values() for place in layout_of(kind).fields]
    demanded = {place.tag for place in places if place.is_required}
    return frozenset(place.tag for place in places) - demanded


def _hidden_fields(profile: Profile) -> frozenset[str]:
    hidden, allowed = frozenset(profile.table.hide_fields), profile.table.allow_fields
    if allowed:
        hidden |= _optional_tags() - frozenset(allowed) - _NEVER_HIDDEN_BY_ALLOWING
    return hidden


def _wire(profile: Profile, family: Family) -> WireFormat:
    table = profile.table
    return _like(
        WireFormat,
        table,
        terminator=b"\r\n" if table.terminator == "CRLF" else b"\r",
        hidden_fields=_hidden_fields(profile),
        hands_out_unknown=family == "observed",
        substitute=table.convert_control_characters,
        # What a library system has said is not cut (C153), and what is kept of its bytes is kept
        # where they are read.
        value_bytes_max=VALUE_BYTES_MAX if family == "store" else UNCUT,
        keeps_bytes=False,
        rewritten=tuple((one.find, one.replace) for one in table.rewrite_screen_texts),
    )


def _presentation(profile: Profile, support: bool) -> Presentation:
    table = profile.table
    return _like(
        Presentation,
        table,
        support_answers=support and table.support_answers and profile.kind != "door",
        family=profile.family,
        patron_fields=_custom_fields(profile, table.custom_patron_fields),
        item_fields=_custom_fields(profile, table.custom_item_fields),
    )


def _custom_fields(
    profile: Profile, tables: tuple[PatronFieldTable, ...] | tuple[ItemFieldTable, ...]
) -> tuple[CustomField, ...]:
    """Those of `tables` that the profile neither hides nor leaves out of what it allows."""
    hidden, allowed = profile.table.hide_fields, profile.table.allow_fields
    return tuple(
        (table.field, table.template)
        for table in tables
        if table.field not in hidden and (not allowed or table.field in allowed)
    )


def _rights(profile: Profile) -> Rights:
    return _like(
        Rights,
        profile.table,
        # A door decides on money as its own rules say.
        honours_fw_b=profile.honours_fw_b and profile.kind != "door",
        accept_offline=profile.accept_offline,
    )


def _family(profile: Profile, *, behind: bool) -> Family:
    """Who answers the terminals of `profile`; `behind`: is a library system behind the gateway?"""
    if not behind:
        return "store"
    return "observed" if profile.table.observe else "upstream"


def _served(
    profile: Profile, family: Family, capabilities: frozenset[Capability]
) -> frozenset[str]:
    """What a terminal of `profile` may send and gets a useful answer to (B13, C25)."""
    handlers = handlers_of(profile.kind, profile.table.dialect, family)
    answered = frozenset(request.code for request in handlers)
    if family == "observed":  # whatever the profile says (C153)
        return answered
    served = profile.messages & answered
    if family == "store":
        for capability, codes in _CODES_BY_CAPABILITY.items():
            if capability not in capabilities:
                served -= codes
    if not profile.payment_types:
        served -= {"37"}
    return served


def _of_profile(
    profile: Profile, family: Family, capabilities: frozenset[Capability], *, support: bool
) -> dict[str, Any]:
    """What is the same for all terminals of `profile`; `support` is the library's switch."""
    table, door = profile.table, profile.door or DoorTable()
    return {
        "profile": profile.name,
        "is_door": profile.kind == "door",
        "language": profile.language,
        "messages": _served(profile, family, capabilities),
        "offered": profile.messages,
        "wire": _wire(profile, family),
        "identification": _like(Identification, table, pin_required=profile.pin_required),
        "rights": _rights(profile),
        "presentation": _presentation(profile, support),
        "door": door.rules(),
        "door_manner": _like(DoorManner, door),
        "payments": _like(PaymentRules, table),
        "till": _like(Till, table, payment_types=profile.payment_types),
        "wise": _like(WiseManner, profile.wise),
        "handlers": handlers_of(profile.kind, table.dialect, family),
        "failing": failing_of(profile.kind, family),
        "is_observed": family == "observed",
        "card_rules": () if family == "observed" else profile.card_rules,
    }


# Of a terminal -------------------------------------------------------------------------------


def _circulation(
    terminal: Terminal, zone: ZoneInfo, texts: Catalogue, loan_history_days: int
) -> CirculationRules:
    table, language = terminal.profile.table, terminal.profile.language
    return CirculationRules(
        terminal=terminal.name,
        branch=terminal.branch.code if terminal.branch is not None else None,
        zone=zone,
        renews_own_loan=table.second_checkout == "renew",
        takes_what_is_not_on_loan=table.checked_in_ok,
        not_lent=Materials.of(table.blocked_material_types),
        lends_with_attachment=table.lend_with_attachment,
        overdue_blocks=table.overdues_block_checkout,
        lost_blocks=table.lost_block_checkout,
        loan_history=timedelta(days=loan_history_days) if loan_history_days else None,
        confirms_borrowed=table.confirm_previously_borrowed,
        in_house=Materials.of(table.in_house_material_types),
        in_house_memberships=frozenset(table.in_house_memberships),
        not_taken_back=frozenset(CHECKIN_REFUSALS[name] for name in table.refuse_checkin),
        not_taken_back_materials=Materials.of(table.refuse_checkin_material_types),
        captures_holds=table.capture_holds,
        holds_travel=table.hold_as_transit,
        sort_rules=tuple(
            SortRule(one.branch, one.field, one.comparator, one.value, one.bin)
            for one in table.sort_bins
        ),
        describe_checkout_fee=texts.text(language, "fee_checkout"),
        describe_overdue_fee=lambda days: texts.text(language, "fee_overdue", days=days),
    )


def _upstream(terminal: Terminal, accounts: Mapping[str, Account]) -> UpstreamManner | None:
    if terminal.upstream is None:
        return None
    account, door = accounts[terminal.upstream], terminal.profile.door or DoorTable()
    return UpstreamManner(
        account=account.name,
        institution=account.institution,
        text=text_encoding(account.encoding, keeps=True),
        facts=account.facts,
        knows_fw_b=account.knows_fw_b,
        aliases=account.aliases,
        date_zone=account.date_zone,
        payments=account.payments,
        payment_split=account.payment_split,
        guards_bk=account.guards_bk,
        offers_information=account.messages is None or "63" in account.messages,
        denying_flags=frozenset(door.upstream_flags),
    )


def _data_limit(terminal: Terminal) -> DataLimit | None:
    branch = terminal.branch
    if branch is None or branch.data_max_age is None:
        return None
    return DataLimit(branch.data_max_age, terminal.upstream)


def _counting_branches(config: Config) -> frozenset[str]:
    """Branches of which any door wants to know who is inside."""
    return frozenset(
        terminal.branch.code
        for terminal in config.terminals.values()
        if terminal.branch is not None
        and (door := terminal.profile.door) is not None
        and (door.capacity or door.refuse_inside)
    )


def _way_back(config: Config, door: Terminal) -> tuple[str, ...]:
    """The doors at the branch of `door` that lead the other way."""
    table = door.profile.door
    if table is None or door.branch is None:
        return ()
    return tuple(
        other.name
        for other in config.terminals.values()
        if other.branch is not None
        and other.branch.code == door.branch.code
        and other.profile.door is not None
        and other.profile.door.direction != table.direction
    )


def terminal_views(
    config: Config, capabilities: frozenset[Capability], texts: Catalogue
) -> Iterator[tuple[Terminal, TerminalView]]:
    """Every terminal of `config` and its view, with a backend of `capabilities`."""
    of_profile = {
        name: _of_profile(
            one,
            _family(one, behind=config.backend.kind == "sip2"),
            capabilities,
            support=config.support.enabled,
        )
        for name, one in config.profiles.items()
    }
    counting = _counting_branches(config)
    standpoints: defaultdict[tuple[str, str], Standpoint] = defaultdict(Standpoint)
    branches = {code: branch.name for code, branch in config.branches.items()}
    for terminal in config.terminals.values():
        profile, branch = terminal.profile, terminal.branch
        zone = branch.zone if branch is not None else config.zone
        yield (
            terminal,
            TerminalView(
                **of_profile[profile.name],
                name=terminal.name,
                institution_id=config.institution.id,
                library_name=config.institution.name,
                currency=config.institution.currency,
                branch=branch.code if branch is not None else None,
                zone=zone,
                calendar=branch.calendar if branch is not None else None,
                max_fee_age_days=branch.max_fee_age_days if branch is not None else None,
                relationships=config.relationship_rules,
                timeout_s=config.server.terminal_timeout_s,
                retries=config.server.terminal_retries,
                receipts=ReceiptRules(zone, starts_anew=profile.table.bk_retention_days <= 1),
                circulation=_circulation(terminal, zone, texts, config.privacy.loan_history_days),
                branches=branches,
                bars=branch.bar if branch is not None else (),
                passes=branch.passes if branch is not None else (),
                counts_inside=(counts := branch is not None and branch.code in counting),
                looks_around=counts or (profile.door is not None and profile.door.companions),
                standpoint=standpoints[profile.name, branch.code if branch is not None else ""],
                expires_at=terminal.expires_at,
                upstream=_upstream(terminal, config.accounts),
                data_limit=_data_limit(terminal),
                way_back=_way_back(config, terminal),
            ),
        )
