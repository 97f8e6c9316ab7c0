"""Blocks as they are stored, and which of them staff have not been told of yet (B31, B64)."""

from __future__ import annotations

from sip2gw.backend.sql.values import date_text
from sip2gw.model import Block


def block_values(patron_id: str, block: Block, terminal: str, card: str) -> tuple[object, ...]:
    """What `queries.SET_BLOCK` wants to know; a block by a terminal waits until staff are told."""
    return (
        patron_id,
        block.source,
        block.type.value,
        block.note,
        date_text(block.valid_until),
        terminal or None,
        card or None,
        0 if terminal else 1,
    )
