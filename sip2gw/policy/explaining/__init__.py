"""Decisions in plain words: the fact, the rule, and the setting behind each check (B70)."""
