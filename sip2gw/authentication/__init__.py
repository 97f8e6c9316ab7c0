"""Checks of PINs and passwords, and the cost of guessing."""
