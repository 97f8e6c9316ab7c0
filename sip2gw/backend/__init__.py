"""The backend ring; see docs/architecture.md."""
