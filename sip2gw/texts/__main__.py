"""Prints the page of reasons: `python -m sip2gw.texts > docs/reference/reasons.md`."""

import sys

from sip2gw.texts.reference import reason_reference

sys.stdout.write(reason_reference())
