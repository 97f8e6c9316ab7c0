"""Patrons as staff see them: their data, badges, families and memberships."""
