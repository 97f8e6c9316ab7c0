"""HTTP for operators, in a process of its own that the gateway starts and ends (C130).

`process` runs it from the gateway and imports none of its code; `python -m sip2gw.web` is the
process itself. `pages` is the application, `serving` enforces the clients' limits, and `exposition`
turns numbers into text.
"""
