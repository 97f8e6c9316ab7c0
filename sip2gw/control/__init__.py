"""The control socket: how commands and the process for HTTP talk to a running gateway (B86, C130).

`messages` says what can be asked and answered, `operations` does it, `server` serves it in the
gateway's loop. `client` is for commands, `channel` for a program with a loop; `place` knows where
the socket is. Nobody who is slow, silent or confused holds up the loop or makes memory grow.
"""
