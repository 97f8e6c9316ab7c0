"""The handlers ring; see docs/architecture.md."""
