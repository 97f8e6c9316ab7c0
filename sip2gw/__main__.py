"""`python -m sip2gw` is the command `sip2gw`."""

from sip2gw.cli import main

main()
