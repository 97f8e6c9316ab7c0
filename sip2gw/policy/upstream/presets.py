"""What the big library systems are known to send and to expect, as data (C158).

Taken from their public sources, manuals and captures. Single keys of the configuration overrule a
preset. Nothing stands here that differs between sites of the same system.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from sip2gw.policy.upstream.rules import Fact, FactRules


class Preset(Struct, frozen=True):
    """One kind of library system."""

    facts: FactRules = field(default_factory=FactRules)
    habits: Mapping[str, object] = field(default_factory=dict)
    """Keys of an account in the configuration, with their values."""


_TIMESTAMP_CHARACTERS = 18

PRESETS: Mapping[str, Preset] = {
    "koha": Preset(
        # It sends no end of the membership. Whether AA may be another card depends on whether the
        # site lets people type their user name, so `aliases` is for the site to say.
        FactRules(birth_date=Fact("PB"), membership=Fact("PC"), fees="av_koha")
    ),
    "evergreen": Preset(
        FactRules(
            birth_date=Fact("PB"),
            membership_until=Fact("PA"),
            membership=Fact("PC"),
            home_branch=Fact("AQ"),
            fees="av_evergreen",
        )
    ),
    "symphony": Preset(
        FactRules(
            birth_date=Fact("PD"),
            membership_until=Fact("PA"),
            membership=Fact("PC"),
            home_branch=Fact("AQ"),
        ),
        {"login_algorithm": " "},
    ),
    "horizon": Preset(
        FactRules(
            birth_date=Fact("PB"),
            # Some sites have text glued to the time: `20251231    235900staff`.
            membership_until=Fact("PE", length=_TIMESTAMP_CHARACTERS),
            membership=Fact("ZY"),
            home_branch=Fact("AQ"),
        )
    ),
    "polaris": Preset(
        # PB is the card number and PC an internal number here.
        FactRules(
            birth_date=Fact("BC"),
            membership_until=Fact("PX"),
            membership=Fact("PA"),
            home_branch=Fact("PE"),
        )
    ),
    "folio": Preset(FactRules(membership=Fact("FU"), fees="gossip")),
    "sierra": Preset(),
    "alma": Preset(),
    "none": Preset(),
}
