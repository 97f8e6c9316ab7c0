"""A library's own templates: `{name}` placeholders, each from a closed list (C86).

A wrong template is found when the configuration is read. No list contains a PIN or a password, and
a personal placeholder names the entry of `personal_fields` that must allow it (B16, B30).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sip2gw.texts import placeholders


class Placeholders(Struct, frozen=True):
    """The names that one kind of template may use."""

    names: tuple[str, ...]
    personal: Mapping[str, str]
    """Names that need a personal field, and which."""

    def problem(self, template: str) -> str | None:
        """What is wrong with `template`, or None."""
        if not template.isprintable() or "|" in template:
            return "control characters and | are not allowed"
        try:
            unknown = placeholders(template) - frozenset(self.names)
        except ValueError as error:
            return str(error)
        return f"unknown placeholder {{{min(unknown)}}}" if unknown else None

    def needs(self, template: str) -> frozenset[str]:
        """The personal fields that must be allowed before `template` may be used."""
        used = placeholders(template)
        return frozenset(field for name, field in self.personal.items() if name in used)

    def __str__(self) -> str:
        return " ".join(f"{{{name}}}" for name in self.names)


PATRON = Placeholders(
    (
        "card", "name", "first_word", "membership", "membership_code", "membership_until",
        "home_branch", "language", "owed", "birth_date", "address", "email", "phone",
    ),
    {
        "membership": "PC",
        "membership_code": "PC",
        "birth_date": "PB",
        "address": "BD",
        "email": "BE",
        "phone": "BF",
    },
)  # fmt: skip
"""Of a patron whose data may be shown."""
HOLDER = Placeholders(("card", "name", "first_word"), {})
"""Of the patron for whom an item was set aside."""
FEE = Placeholders(
    ("fee", "amount", "currency", "date", "type", "label", "description", "title"), {}
)
"""Of one fee; `label` is whose it is when it is not the patron's own (C77)."""
ITEM = Placeholders(
    (
        "item", "title", "title_id", "author", "material", "media_type", "owner_branch",
        "current_branch", "shelf", "call_number", "attachment",
    ),
    {},
)  # fmt: skip
"""Of one copy."""


def first_word(name: str) -> str:
    """The name for a screen that others can see: the first word of the patron's name."""
    words = name.split()
    return words[0].rstrip(",") if words else ""


def fill(template: str, values: Mapping[str, object]) -> str:
    """`template` with its placeholders filled; None becomes nothing, and blanks are not doubled."""
    said = {name: "" if value is None else value for name, value in values.items()}
    return " ".join(template.format_map(said).split())
