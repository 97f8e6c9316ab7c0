"""Prints the reference page: `python -m sip2gw.cli > docs/reference/commands.md`."""

import sys

from sip2gw.cli.reference import command_reference

sys.stdout.write(command_reference())
