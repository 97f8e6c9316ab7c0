"""Handlers that pass on to a library system, and lay over its answers what we know (B72, B73)."""
