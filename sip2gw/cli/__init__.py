"""The command line: thin commands over the services (interface §2)."""

from sip2gw.cli.app import main

__all__ = ["main"]
