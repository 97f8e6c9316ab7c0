"""`[profiles.X.door]`: the checks of a door, as written and as used (B33-B41)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from sip2gw.config.tables.facts import Flags
from sip2gw.config.types import Badges, Memberships, Section, YesOrDay
from sip2gw.policy.access import DoorRules


class DoorTable(Section):
    """`[profiles.X.door]`: the checks of a door and their settings (B33-B41)."""

    mode: Literal["decision", "facts"] = Field(
        default="decision",
        description="decision: the gateway decides. facts: the gateway reports facts and the"
        " controller decides.",
    )
    require_pin: bool = Field(
        default=True,
        description="Whether patrons must give their PIN. With false the gateway ignores AD.",
    )
    require_badges: Badges = Field(default=(), description="Codes of the badges that are required.")
    badges: Literal["all", "any"] = Field(
        default="all",
        description="Whether a patron needs all of `require_badges`, or any one of them.",
    )
    minimum_age: int = Field(
        default=0,
        ge=0,
        le=150,
        description="Minimum age in years; 0: no check. A patron without a birth date is refused.",
    )
    memberships: Memberships = Field(
        default=(), description="Membership codes that may enter; empty: all."
    )
    home_branch_only: bool = Field(
        default=False, description="Whether only patrons with this home branch may enter."
    )
    fees: Literal["limit", "ignore"] = Field(
        default="limit",
        description="Whether debts that are above the limit or too old keep a patron out.",
    )
    when_staffed: Literal["admit", "refuse"] = Field(
        default="admit",
        description="In staffed hours, admit: the other checks decide; refuse: nobody may enter.",
    )
    last_entry_margin_min: int = Field(
        default=0,
        ge=0,
        le=1_440,
        description="Minutes before closing time from which nobody may enter any more.",
    )
    require_house_rules: YesOrDay = Field(
        default=False,
        description="Whether patrons must have accepted the house rules; a date: on or after"
        " that date.",
    )
    refuse_as: Literal["flags", "cqn", "bln"] = Field(
        default="flags",
        description="What a refusal sets besides the flags, for simple controllers: cqn sets"
        " CQ to N, bln sets BL to N; flags sets nothing else.",
    )
    upstream_flags: Flags = Field(
        default=(0,),
        description="With a library system behind the gateway: flags of its patron status, 0-13,"
        " that keep a patron out.",
    )
    direction: Literal["in", "out"] = Field(
        default="in",
        description="Direction of the door. out: every card may pass and is only recorded.",
    )
    capacity: int = Field(
        default=0, ge=0, le=100_000, description="Maximum number of people inside; 0: no limit."
    )
    refuse_inside: bool = Field(
        default=False, description="Whether a patron who went in must go out before entering again."
    )
    passage_window_s: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=5, description="Seconds within which the same card counts as one passage; 0: off."
    )
    emergency: bool = Field(
        default=False,
        description="Whether earlier granted decisions count while the store or the library system"
        " does not answer.",
    )
    emergency_max_age_h: Annotated[float, Field(gt=0, le=8_784)] = Field(
        default=24,
        description="Hours for which an earlier granted decision counts in such an emergency.",
    )
    companions: bool = Field(
        default=False,
        description="Whether children under `minimum_age` may follow their head of family, each"
        " with their own card, within `passage_window_s`.",
    )

    def rules(self) -> DoorRules:
        """The same for the decision."""
        return DoorRules(
            require_pin=self.require_pin,
            require_badges=frozenset(self.require_badges),
            every_badge=self.badges == "all",
            minimum_age=self.minimum_age,
            memberships=frozenset(self.memberships),
            home_branch_only=self.home_branch_only,
            fees=self.fees == "limit",
            admit_when_staffed=self.when_staffed == "admit",
            last_entry_margin=timedelta(minutes=self.last_entry_margin_min),
            house_rules=self.require_house_rules,
            denying_flags=frozenset(self.upstream_flags),
            capacity=self.capacity,
            refuse_inside=self.refuse_inside,
            companions=self.companions,
            emergency_max_age=(
                timedelta(hours=self.emergency_max_age_h) if self.emergency else None
            ),
        )
