"""What a door demands of patrons, although no answer of the library system says it (B36, C121)."""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config.load import Config

DEMANDS = {
    "minimum_age": "birth_date",
    "memberships": "membership",
    "home_branch_only": "home_branch",
}
"""Key of a door = the fact that it looks at. Who has it unknown is refused."""


def unsaid(config: Config) -> Iterator[str]:
    """What would keep out everybody of whom our own store does not know it; each once."""
    yield from dict.fromkeys(_unsaid(config))


def _unsaid(config: Config) -> Iterator[str]:
    for terminal in config.terminals.values():
        door = terminal.profile.door
        if terminal.upstream is None or door is None or door.direction == "out":
            continue
        facts = config.accounts[terminal.upstream].facts
        for key, fact in DEMANDS.items():
            if getattr(door, key) and getattr(facts, fact) is None:
                yield (
                    f"profiles.{terminal.profile.name}.door.{key} keeps out all whose {fact} is not"
                    f" in the store here: no field of account {terminal.upstream} says it; name one"
                    " in backend.sip2.facts"
                )
