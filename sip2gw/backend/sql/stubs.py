"""Rows of `patron` that are nobody (any more), and how they are left out.

A stub has an id and no data: the ledger is keyed by it in place of somebody who was forgotten
(C146). It has no card, is not found, not counted and not exported.
"""

from __future__ import annotations

LIVING = "p.forgotten_on IS NULL"
"""Whether the row `p` of `patron` is a patron."""
