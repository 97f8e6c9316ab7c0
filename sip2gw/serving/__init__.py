"""Serving terminals: listeners and lines, logins, one request in and one response out."""
