"""What the screen says about a booked payment."""

from __future__ import annotations

from msgspec import Struct

from sip2gw.model import Minor
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.texts import Catalogue, format_money


class PaymentTexts(Discreet, Struct):
    """Renders the texts that are kept with a payment, so that each retry gets the same (C4)."""

    catalogue: Hidden[Catalogue]
    language: str
    currency: str
    waived: bool
    """No money came in."""

    def of(self, amount: Minor, left: Minor) -> tuple[str, ...]:
        """The text for when `amount` is booked and `left` may still be paid."""
        catalogue, language, currency = self.catalogue, self.language, self.currency
        key = "payment_waived" if self.waived else "payment_accepted"
        booked = catalogue.text(language, key, amount=format_money(amount, currency, language))
        if left <= 0:
            return (booked,)
        shown = format_money(left, currency, language)
        return booked, catalogue.text(language, "payment_remaining", amount=shown)
