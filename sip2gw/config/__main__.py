"""Prints the reference page: `python -m sip2gw.config > docs/reference/configuration.md`."""

import sys

from sip2gw.config.reference import configuration_reference

sys.stdout.write(configuration_reference())
