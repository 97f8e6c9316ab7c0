"""Whole messages as data: the bytes beside what they mean."""
