"""Patrons who are only a row for the ledger any more: who counts as a patron is said here alone."""

from __future__ import annotations

LIVING = "p.merged_into IS NULL"
"""A condition on `patron p`: not merged into another, so found, counted and exported."""

SAME_PERSON = "IN (SELECT p.id FROM patron p WHERE COALESCE(p.merged_into, p.id) = ?)"
"""A condition on a column with patron ids: the patron, and whoever was merged into them."""

MERGED_INTO = "SELECT p.merged_into FROM patron p WHERE p.id = ? AND p.merged_into IS NOT NULL"
