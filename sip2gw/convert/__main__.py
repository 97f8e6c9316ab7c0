"""Prints the page of options: `python -m sip2gw.convert > docs/reference/options.md`."""

import sys

from sip2gw.convert.reference import option_reference

sys.stdout.write(option_reference())
