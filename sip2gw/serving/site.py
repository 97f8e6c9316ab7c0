"""The configuration turned into what a request needs: one ready view per terminal.

Everything that a profile, a branch and the institution settle is settled here once, so that
handlers look at one object. A reload builds a new `Site` and swaps it in (B66).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from zoneinfo import ZoneInfo

from sip2gw.backend.base import Capability
from sip2gw.config import Config, ResolvedProfile, Terminal
from sip2gw.config.options import CHECKIN_REFUSALS, ItemFieldTable, PatronFieldTable
from sip2gw.handlers import (
    SUPPORTED_CODES,
    CustomField,
    Standpoint,
    TerminalView,
    handlers_of,
)
from sip2gw.policy.access import DoorRules
from sip2gw.policy.items.decisions import CirculationRules, Materials
from sip2gw.policy.items.sorting import SortRule
from sip2gw.policy.money import PaymentRules
from sip2gw.policy.receipts import ReceiptRules
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.registry import RESPONSES
from sip2gw.protocol.wire import WireFormat
from sip2gw.texts import Catalogue

_CODES_BY_CAPABILITY = {
    Capability.PAYMENTS: frozenset({"37", "41"}),
    Capability.BLOCKS: frozenset({"01", "25"}),
    Capability.CIRCULATION: frozenset({"09", "11", "15", "17", "19", "29", "65"}),
    Capability.PATRONS: frozenset({"23", "63", "35"}),
}

_NEVER_HIDDEN_BY_ALLOWING = frozenset({"BL", "CQ", "BK"})
"""An allow list is about content; these say whether the card, the PIN and the payment are good."""


ADDRESSES_REMEMBERED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class KnownTerminal:
    """A login and the view that it opens."""

    terminal: Terminal
    view: TerminalView

    def admits_like(self, other: KnownTerminal) -> bool:
        """Whether both ask the same of whoever logs in (C101)."""
        return self.terminal.admission == other.terminal.admission


@dataclass(frozen=True, slots=True)
class Site:
    """All terminals of one configuration."""

    config: Config
    by_login: dict[str, KnownTerminal] = field(repr=False)
    by_name: dict[str, KnownTerminal]
    texts: Catalogue
    prelogin: WireFormat
    """How lines look before the login (C73)."""
    _expected: dict[str, bool] = field(default_factory=dict, repr=False)

    def is_expected(self, address: str) -> bool:
        """Whether any terminal may come from `address`; others are not even listened to (C100)."""
        known = self._expected.get(address)
        if known is None:
            if len(self._expected) >= ADDRESSES_REMEMBERED_MAX:
                self._expected.clear()
            terminals = (entry.terminal for entry in self.by_login.values())
            known = any(terminal.allows_address(address) for terminal in terminals)
            self._expected[address] = known
        return known


@cache
def _optional_tags() -> frozenset[str]:
    """Tags that no response demands."""
    places = [place for kind in RESPONSES.values() for place in layout_of(kind).fields]
    demanded = {place.tag for place in places if place.is_required}
    return frozenset(place.tag for place in places) - demanded


def _hidden_fields(profile: ResolvedProfile) -> frozenset[str]:
    hidden = profile.hide_fields
    if profile.allow_fields:
        hidden |= _optional_tags() - profile.allow_fields - _NEVER_HIDDEN_BY_ALLOWING
    return hidden


def _wire(profile: ResolvedProfile) -> WireFormat:
    return WireFormat(
        encoding=profile.encoding,
        terminator=profile.terminator,
        error_detection=profile.error_detection,
        accept_character_checksum=profile.accept_character_checksum,
        resend_with_sequence=profile.resend_with_sequence,
        date_zone=profile.date_zone,
        hidden_fields=_hidden_fields(profile),
        dialect=profile.dialect,
        substitute=profile.options.convert_control_characters,
        rewritten=tuple((one.find, one.replace) for one in profile.options.rewrite_screen_texts),
    )


def _custom_fields(
    profile: ResolvedProfile, tables: tuple[PatronFieldTable, ...] | tuple[ItemFieldTable, ...]
) -> tuple[CustomField, ...]:
    """Those of `tables` that the profile neither hides nor leaves out of what it allows."""
    return tuple(
        (table.field, table.template)
        for table in tables
        if table.field not in profile.hide_fields
        and (not profile.allow_fields or table.field in profile.allow_fields)
    )


def _served(profile: ResolvedProfile, capabilities: frozenset[Capability]) -> frozenset[str]:
    """What a terminal of `profile` may send and gets a useful answer to (B13, C25)."""
    served = profile.messages & SUPPORTED_CODES
    for capability, codes in _CODES_BY_CAPABILITY.items():
        if capability not in capabilities:
            served -= codes
    if not profile.payment_types:
        served -= {"37"}
    return served


def _circulation(
    terminal: Terminal, zone: ZoneInfo, texts: Catalogue, loan_history_days: int
) -> CirculationRules:
    profile, options = terminal.profile, terminal.profile.options
    language = profile.language
    return CirculationRules(
        terminal=terminal.name,
        branch=terminal.branch.code if terminal.branch is not None else None,
        zone=zone,
        renews_own_loan=profile.second_checkout == "renew",
        takes_what_is_not_on_loan=profile.checked_in_ok,
        not_lent=Materials.of(options.blocked_material_types),
        lends_with_attachment=options.lend_with_attachment,
        overdue_blocks=options.overdues_block_checkout,
        lost_blocks=options.lost_block_checkout,
        loan_history=timedelta(days=loan_history_days) if loan_history_days else None,
        confirms_borrowed=options.confirm_previously_borrowed,
        in_house=Materials.of(options.in_house_material_types),
        in_house_memberships=frozenset(options.in_house_memberships),
        not_taken_back=frozenset(CHECKIN_REFUSALS[name] for name in options.refuse_checkin),
        not_taken_back_materials=Materials.of(options.refuse_checkin_material_types),
        captures_holds=options.capture_holds,
        holds_travel=options.hold_as_transit,
        sort_rules=tuple(
            SortRule(one.branch, one.field, one.comparator, one.value, one.bin)
            for one in options.sort_bins
        ),
        describe_checkout_fee=texts.text(language, "fee_checkout"),
        describe_overdue_fee=lambda days: texts.text(language, "fee_overdue", days=days),
    )


def _counting_branches(config: Config) -> frozenset[str]:
    """Branches of which any door wants to know who is inside."""
    return frozenset(
        terminal.branch.code
        for terminal in config.terminals.values()
        if terminal.branch is not None
        and (rules := terminal.profile.door_rules) is not None
        and (rules.capacity or rules.refuse_inside)
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


def build_site(config: Config, capabilities: frozenset[Capability]) -> Site:
    """Compile `config` for a backend with `capabilities`."""
    wires = {name: _wire(profile) for name, profile in config.profiles.items()}
    counting = _counting_branches(config)
    standpoints: defaultdict[tuple[str, str], Standpoint] = defaultdict(Standpoint)
    texts = Catalogue(config.texts)
    loan_history_days = config.privacy.loan_history_days
    branches = {code: branch.name for code, branch in config.branches.items()}
    known: dict[str, KnownTerminal] = {}
    for login, terminal in config.terminals.items():
        profile, branch = terminal.profile, terminal.branch
        zone = branch.zone if branch is not None else config.zone
        view = TerminalView(
            name=terminal.name,
            profile=profile,
            institution_id=config.institution.id,
            library_name=config.institution.name,
            currency=config.institution.currency,
            language=profile.language,
            branch=branch.code if branch is not None else None,
            zone=zone,
            calendar=branch.calendar if branch is not None else None,
            max_fee_age_days=branch.max_fee_age_days if branch is not None else None,
            relationships=config.relationships.rules,
            messages=_served(profile, capabilities),
            wire=wires[profile.name],
            timeout_s=config.server.terminal_timeout_s,
            retries=config.server.terminal_retries,
            door=profile.door_rules or DoorRules(),
            receipts=ReceiptRules(zone, starts_anew=profile.bk_retention_days <= 1),
            payments=PaymentRules(
                profile.partial_payment,
                profile.invoiced_payable,
                profile.single_fee_payment,
                profile.subtotal_payment,
            ),
            circulation=_circulation(terminal, zone, texts, loan_history_days),
            branches=branches,
            patron_fields=_custom_fields(profile, profile.options.custom_patron_fields),
            item_fields=_custom_fields(profile, profile.options.custom_item_fields),
            bars=branch.bar if branch is not None else (),
            passes=branch.passes if branch is not None else (),
            counts_inside=branch is not None and branch.code in counting,
            standpoint=standpoints[profile.name, branch.code if branch is not None else ""],
            handlers=handlers_of(profile.kind, profile.dialect),
            expires_at=terminal.expires_at,
            way_back=_way_back(config, terminal),
        )
        known[login] = KnownTerminal(terminal, view)
    return Site(
        config=config,
        by_login=known,
        by_name={entry.terminal.name: entry for entry in known.values()},
        texts=texts,
        prelogin=WireFormat(),
    )
