"""What notices to patrons say, in each language; a library can overrule each of them (B63).

Unlike screen texts they may have several lines and any character.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct

from sip2gw.model.notices import AMOUNTS, DAYS, SAYS
from sip2gw.texts import format_day, format_money, placeholders

ALWAYS = ("name", "library")
"""Values that every notice has: the patron's name and the library's."""


class Template(Struct, frozen=True):
    """Subject and text with `{name}` placeholders, each from a closed list (C86)."""

    subject: str
    text: str


def _letters(
    greeting: str, closing: str, said: Mapping[str, tuple[str, str]]
) -> dict[str, Template]:
    return {
        kind: Template(subject, f"{greeting}\n\n{text}\n\n{closing}\n{{library}}")
        for kind, (subject, text) in said.items()
    }


_DUTCH = _letters(
    "Beste {name},",
    "Met vriendelijke groeten,",
    {
        "CAO": (
            "Uw lidmaatschap verandert",
            "Uw lidmaatschap {membership} loopt tot en met {until}. Daarna wordt het"
            " {next_membership}.\nU hoeft niets te doen. Hebt u vragen, stel ze dan aan de balie.",
        ),
        "CAE": (
            "Uw lidmaatschap loopt af",
            "Uw lidmaatschap {membership} loopt af op {until}.\n"
            "Wilt u lid blijven, kom dan voor die dag langs bij de balie.",
        ),
        "CAT": (
            "Uw tijdelijk lidmaatschap loopt af",
            "Uw tijdelijk lidmaatschap {membership} loopt af op {until}.\n"
            "Wilt u lid blijven, kom dan voor die dag langs bij de balie.",
        ),
        "CAJ": (
            "Het jeugdlidmaatschap loopt af",
            "Het jeugdlidmaatschap {membership} loopt af op {until}.\n"
            "Om lid te blijven, kom voor die dag langs bij de balie.",
        ),
        "LIMIT": (
            "U hebt openstaande bedragen",
            "U hebt {owed} openstaan. Boven {limit} kunt u niets meer lenen.\n"
            "U kunt betalen aan de betaalautomaat of aan de balie.",
        ),
        "AGE": (
            "Een bedrag staat al lang open",
            "Een deel van {owed} staat al lang open. Vanaf {day} kunt u de zelfbediening niet meer"
            " gebruiken.\nU kunt betalen aan de betaalautomaat of aan de balie.",
        ),
        "END": (
            "Uw lidmaatschap is afgelopen",
            "Uw lidmaatschap {membership} is afgelopen op {until}.\n"
            "Wilt u weer lid worden, kom dan langs bij de balie. U bent altijd welkom.",
        ),
        "BADGE": (
            "Uw toegang loopt af",
            "{badge} is voor u geldig tot en met {until}.\n"
            "Wilt u dit verlengen, vraag het dan voor die dag aan de balie.",
        ),
    },
)
_ENGLISH = _letters(
    "Dear {name},",
    "Kind regards,",
    {
        "CAO": (
            "Your membership is going to change",
            "Your membership {membership} lasts until {until}. After that it becomes"
            " {next_membership}.\nThere is nothing you need to do. If you have questions, please"
            " ask at the desk.",
        ),
        "CAE": (
            "Your membership will end",
            "Your membership {membership} will end on {until}.\n"
            "If you want to stay a member, please come to the desk before that day.",
        ),
        "CAT": (
            "Your temporary membership will end",
            "Your temporary membership {membership} will end on {until}.\n"
            "If you want to stay a member, please come to the desk before that day.",
        ),
        "CAJ": (
            "The youth membership will end",
            "The youth membership {membership} will end on {until}.\n"
            "To stay a member, please come to the desk before that day.",
        ),
        "LIMIT": (
            "There is something to pay",
            "You owe {owed}. If it is more than {limit}, you cannot borrow any more.\n"
            "You can pay at the payment terminal or at the desk.",
        ),
        "AGE": (
            "An amount has been open for a long time",
            "A part of {owed} has been open for a long time. From {day} on you cannot use"
            " self-service any more.\nYou can pay at the payment terminal or at the desk.",
        ),
        "END": (
            "Your membership has ended",
            "Your membership {membership} ended on {until}.\n"
            "If you want to join again, please come to the desk. You are always welcome.",
        ),
        "BADGE": (
            "Your access will end",
            "{badge} is valid for you until {until}.\n"
            "If you want to extend it, please ask at the desk before that day.",
        ),
    },
)
_FRENCH = _letters(
    "Bonjour {name},",
    "Cordialement,",
    {
        "CAO": (
            "Votre abonnement va changer",
            "Votre abonnement {membership} est valable jusqu'au {until}. Il devient ensuite"
            " {next_membership}.\nVous n'avez rien à faire. Pour toute question, adressez-vous au"
            " guichet.",
        ),
        "CAE": (
            "Votre abonnement se termine",
            "Votre abonnement {membership} se termine le {until}.\n"
            "Pour rester membre, passez au guichet avant cette date.",
        ),
        "CAT": (
            "Votre abonnement temporaire se termine",
            "Votre abonnement temporaire {membership} se termine le {until}.\n"
            "Pour rester membre, passez au guichet avant cette date.",
        ),
        "CAJ": (
            "L'abonnement jeunesse se termine",
            "L'abonnement jeunesse {membership} se termine le {until}.\n"
            "Pour rester membre, passez au guichet avant cette date.",
        ),
        "LIMIT": (
            "Vous avez des montants à payer",
            "Vous devez {owed}. Au-delà de {limit}, vous ne pourrez plus emprunter.\n"
            "Vous pouvez payer à la borne de paiement ou au guichet.",
        ),
        "AGE": (
            "Un montant reste dû depuis longtemps",
            "Une partie de {owed} reste due depuis longtemps. À partir du {day}, vous ne pourrez"
            " plus utiliser le libre-service.\nVous pouvez payer à la borne de paiement ou au"
            " guichet.",
        ),
        "END": (
            "Votre abonnement est terminé",
            "Votre abonnement {membership} s'est terminé le {until}.\n"
            "Pour redevenir membre, passez au guichet. Vous êtes toujours les bienvenus.",
        ),
        "BADGE": (
            "Votre accès se termine",
            "{badge} est valable pour vous jusqu'au {until}.\n"
            "Pour le prolonger, adressez-vous au guichet avant cette date.",
        ),
    },
)
_GERMAN = _letters(
    "Guten Tag {name},",
    "Mit freundlichen Grüßen",
    {
        "CAO": (
            "Ihre Mitgliedschaft ändert sich",
            "Ihre Mitgliedschaft {membership} gilt bis zum {until}. Danach wird sie zu"
            " {next_membership}.\nSie brauchen nichts zu tun. Bei Fragen wenden Sie sich bitte an"
            " das Personal.",
        ),
        "CAE": (
            "Ihre Mitgliedschaft läuft ab",
            "Ihre Mitgliedschaft {membership} läuft am {until} ab.\n"
            "Wenn Sie Mitglied bleiben möchten, kommen Sie bitte vor diesem Tag in die Bibliothek.",
        ),
        "CAT": (
            "Ihre befristete Mitgliedschaft läuft ab",
            "Ihre befristete Mitgliedschaft {membership} läuft am {until} ab.\n"
            "Wenn Sie Mitglied bleiben möchten, kommen Sie bitte vor diesem Tag in die Bibliothek.",
        ),
        "CAJ": (
            "Die Jugendmitgliedschaft läuft ab",
            "Die Jugendmitgliedschaft {membership} läuft am {until} ab.\n"
            "Um Mitglied zu bleiben, kommen Sie bitte vor diesem Tag in die Bibliothek.",
        ),
        "LIMIT": (
            "Sie haben offene Beträge",
            "Sie schulden {owed}. Sind es mehr als {limit}, können Sie nichts mehr ausleihen.\n"
            "Zahlen können Sie am Kassenautomaten oder beim Personal.",
        ),
        "AGE": (
            "Ein Betrag ist seit langem offen",
            "Ein Teil von {owed} ist seit langem offen. Ab dem {day} können Sie die Selbstbedienung"
            " nicht mehr benutzen.\nZahlen können Sie am Kassenautomaten oder beim Personal.",
        ),
        "END": (
            "Ihre Mitgliedschaft ist abgelaufen",
            "Ihre Mitgliedschaft {membership} ist am {until} abgelaufen.\n"
            "Wenn Sie wieder Mitglied werden möchten, kommen Sie bitte in die Bibliothek. Sie sind"
            " immer willkommen.",
        ),
        "BADGE": (
            "Ihr Zugang läuft ab",
            "{badge} gilt für Sie bis zum {until}.\n"
            "Wenn Sie das verlängern möchten, fragen Sie bitte vor diesem Tag das Personal.",
        ),
    },
)
BUILT_IN: Mapping[str, Mapping[str, Template]] = {
    "nl": _DUTCH,
    "en": _ENGLISH,
    "fr": _FRENCH,
    "de": _GERMAN,
}
"""Language → kind → what it says."""


def template_problem(kind: str, text: str, *, one_line: bool) -> str | None:
    """What is wrong with a library's own subject (`one_line`) or text for a kind, or None."""
    if not text.strip():
        return "is empty"
    if not (text if one_line else text.replace("\n", "")).isprintable():
        return "control characters are not allowed"
    try:
        unknown = placeholders(text) - set(allowed_names(kind))
    except ValueError as error:
        return str(error)
    return f"unknown placeholder {{{min(unknown)}}}" if unknown else None


def allowed_names(kind: str) -> tuple[str, ...]:
    """The placeholders that a template for `kind` may have."""
    return *ALWAYS, *SAYS[kind]


def write_notice(
    template: Template,
    values: Mapping[str, str],
    *,
    name: str,
    library: str,
    currency: str,
    language: str,
) -> tuple[str, str]:
    """Subject and text of one notice; nothing in `values` or names can add a line (B63).

    Raises:
        ValueError: a day or an amount is not one.
        KeyError: a value is missing.
    """
    said = {key: _one_line(_said(key, value, currency, language)) for key, value in values.items()}
    said |= {"name": _one_line(name), "library": _one_line(library)}
    return _one_line(template.subject.format_map(said)), template.text.format_map(said)


def _said(key: str, value: str, currency: str, language: str) -> str:
    if key in DAYS:
        return format_day(date.fromisoformat(value), language)
    if key in AMOUNTS:
        return format_money(int(value), currency, language)
    return value


def _one_line(text: str) -> str:
    """Printable characters only, and single blanks for whatever else separates them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
