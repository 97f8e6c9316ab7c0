"""What is long and runs only with `SIP2GW_FULL=1`; docs/proofs.md tells what that shows."""

import os

import pytest

FULL = "SIP2GW_FULL" in os.environ
only_in_full = pytest.mark.skipif(not FULL, reason="long: see docs/proofs.md")
