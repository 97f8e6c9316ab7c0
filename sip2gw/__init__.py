"""sip2gw: a SIP2 self-service gateway for libraries."""

__version__ = "0.1.0"
