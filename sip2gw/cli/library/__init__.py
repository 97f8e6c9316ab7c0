"""Commands about the library's data."""
