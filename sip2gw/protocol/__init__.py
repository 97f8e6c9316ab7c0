"""The protocol ring: SIP2 2.00 on the wire, pure and without I/O.

Bytes become frames (`line.framing`), frames become typed messages (`codec`, from the declarations
in `fields` and `messages`), and `line.connection` runs the conversation. Nothing here knows a
clock, a socket or any other part of the program.
"""
