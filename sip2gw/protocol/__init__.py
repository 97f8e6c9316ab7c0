"""The protocol ring; see docs/architecture.md."""
