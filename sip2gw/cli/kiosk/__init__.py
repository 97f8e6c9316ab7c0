"""A test kiosk, and the wire made readable."""
