"""The requests about items: loans, returns, renewals, holds."""
