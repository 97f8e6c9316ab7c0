"""The fields of a 24 or 64 by their tags, whether the message declares them or not.  (C121)"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache

from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse

PatronAnswer = PatronStatusResponse | PatronInformationResponse
Decode = Callable[[bytes], str]
"""Reads the text of an unknown field; never raises."""

GROUP_TAGS = ("CG", "FA", "FB", "FC", "FD", "FE", "FF")
"""One fee in Gossip's fields, in the order of `FeeDetail`."""

_DATE_CHARACTERS_MAX = 40
_PACKED = re.compile("%[A-Za-z]%")
"""Directives without anything between them, where strptime takes fewer digits than it should."""


@lru_cache(maxsize=4096)
def read_date(text: str, formats: tuple[str, ...]) -> date | None:
    """The date that `text` says in the first of `formats` that fits; None if none does."""
    if len(text) > _DATE_CHARACTERS_MAX or not text.isascii():
        return None
    return next(filter(None, (_read_date(text, form) for form in formats)), None)


def _read_date(text: str, form: str) -> date | None:
    try:
        moment = datetime.strptime(text, form)  # noqa: DTZ007 -- only its day is looked at
    except ValueError:
        return None
    if _PACKED.search(form):
        written = moment.strftime(form)
        if written.casefold().split() != text.casefold().split():
            return None
    return moment.date()


_ATTRIBUTES = {
    kind: {placed.place.tag: placed.attribute for placed in layout_of(kind).tagged}
    for kind in (PatronStatusResponse, PatronInformationResponse)
}


class Fields:
    """An answer as a list of texts for each tag."""

    def __init__(self, response: PatronAnswer, decode: Decode) -> None:
        self._response = response
        self._decode = decode
        self._unknown: dict[str, list[bytes]] = {}
        for tag, raw in response.extra_fields:
            self._unknown.setdefault(tag, []).append(raw)

    def values(self, tag: str) -> tuple[str, ...]:
        """Every value of `tag`, in the order of the answer."""
        attribute = _ATTRIBUTES[type(self._response)].get(tag)
        declared = getattr(self._response, attribute) if attribute is not None else ()
        if not isinstance(declared, tuple):
            declared = (declared,) if isinstance(declared, str) else ()
        unknown = self._unknown.get(tag)
        return (*declared, *map(self._decode, unknown)) if unknown is not None else declared

    def first(self, tag: str) -> str | None:
        """The first value of `tag` without blanks around it; None without one or if it is empty."""
        values = self.values(tag)
        return values[0].strip() or None if values else None

    def fee_groups(self) -> list[dict[str, str]]:
        """Gossip's groups, each begun by CG; a 24 has them among its unknown fields."""
        details = getattr(self._response, "fee_details", ())
        groups = [dict(zip(GROUP_TAGS, detail, strict=True)) for detail in details]
        if not details:
            for tag, raw in self._response.extra_fields:
                if tag == GROUP_TAGS[0]:
                    groups.append(dict.fromkeys(GROUP_TAGS, ""))
                if groups and tag in GROUP_TAGS:
                    groups[-1][tag] = self._decode(raw)
        return groups
