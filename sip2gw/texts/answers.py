"""How an answer of staff fits on the screen of a kiosk (C145)."""

from __future__ import annotations

ANSWER_CHARACTERS_MAX = 200
"""A field of SIP2 has 255; the rest is for what introduces the answer."""

_CUT = "..."


def for_screen(text: str) -> str:
    """`text` in one line, cut where a screen would cut it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= ANSWER_CHARACTERS_MAX:
        return line
    return line[: ANSWER_CHARACTERS_MAX - len(_CUT)].rstrip() + _CUT
