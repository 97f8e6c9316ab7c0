"""A test kiosk, and commands that decode SIP2 messages."""
