"""Options that decide lending, which a library system behind the gateway does itself (B73)."""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config.load import Config

LENDING_OPTIONS = (
    "capture_holds",
    "checked_in_ok",
    "confirm_previously_borrowed",
    "hold_as_transit",
    "in_house_material_types",
    "in_house_memberships",
    "lend_with_attachment",
    "lost_block_checkout",
    "overdues_block_checkout",
    "refuse_checkin",
    "second_checkout",
)
"""Not among them is what the operator adds on purpose: `accept_offline`, and material that is kept
back."""
SORTED_BY = frozenset({"title_id", "shelf", "attachment"})
"""What a rule of `sort_bins` may look at, but no 10 says."""


def without_effect(config: Config) -> Iterator[str]:
    """What is set in profiles, but has no effect in front of a library system."""
    if config.backend.kind != "sip2":
        return
    for name, profile in config.profiles.items():
        table = profile.table
        if table.observe:
            continue  # no option of it has, and that is what `observe` says
        for key in LENDING_OPTIONS:
            if key in table.model_fields_set:
                yield (
                    f"profiles.{name}.{key} has no effect, because the library system decides"
                    " lending; set it there"
                )
        if table.cr_item_field == "shelf":
            yield f"profiles.{name}.cr_item_field: no answer of a library system says the shelf"
        for number, rule in enumerate(table.sort_bins, 1):
            if rule.field in SORTED_BY:
                yield (
                    f"profiles.{name}.sort_bins.{number} looks at {rule.field}, which no answer of"
                    " a library system says"
                )
