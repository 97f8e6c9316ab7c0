"""A library system behind the gateway, asked over SIP2 (B71)."""
