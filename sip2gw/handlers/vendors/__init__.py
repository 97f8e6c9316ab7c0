"""Requests and habits of single vendors."""
