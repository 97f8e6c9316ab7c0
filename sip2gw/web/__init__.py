"""HTTP for operators, in a process of its own that the gateway starts and ends (C130).

`process` runs it from the gateway and imports nothing of it; `python -m sip2gw.web` is it: `pages`
is the application, `serving` keeps clients within their limits, `exposition` makes text of numbers.
"""
