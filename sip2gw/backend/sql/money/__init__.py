"""The ledger, and what became of payments."""
