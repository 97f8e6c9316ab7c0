"""Payments in front of a library system: for whom, how they go up, and each once."""
