"""Patrons: their data, badges, families and memberships, and what they do themselves."""
