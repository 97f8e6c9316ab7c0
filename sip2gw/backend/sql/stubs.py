"""Rows of `patron` that are nobody any more, and how they are left out.

A stub has an id and no data: the ledger is keyed by it in place of somebody who was forgotten
(C146), or who was merged into another patron. It has no card, is not found, not counted and not
exported.

Somebody whom only a library system knows, and who has paid through us, is a row with a number and
no card (`sql.money.shares`). That is a person, whose payments staff find, report and forget, but no
patron of ours: not counted, not exported, and not ended by an import that does not name them.
"""

from __future__ import annotations

LIVING = "(p.forgotten_on IS NULL AND p.merged_into IS NULL)"
"""Whether the row `p` of `patron` is somebody."""

OURS = "EXISTS (SELECT 1 FROM card own WHERE own.patron_id = p.id)"
"""Whether it is a patron that was loaded: each of those has a card (C35), and nobody else."""

IDS_OF = """SELECT p.id FROM (SELECT CAST(? AS TEXT) AS id) one
    JOIN patron p ON p.id = one.id OR p.merged_into = one.id"""
"""The ids of a patron: their own, and those of all who were merged into them."""

SAME_PERSON = f"IN ({IDS_OF})"
"""A condition on a column with patron ids: the patron, and whoever was merged into them."""

ALL_IDS = """(SELECT COALESCE(p.id, one.id) FROM (SELECT CAST(? AS TEXT) AS id) one
    LEFT JOIN patron p ON p.id = one.id OR p.merged_into = one.id)"""
"""The same, and the id itself if nobody has it here: somebody whom only a library system knows."""

MERGED_INTO = "SELECT p.merged_into FROM patron p WHERE p.id = ? AND p.merged_into IS NOT NULL"
