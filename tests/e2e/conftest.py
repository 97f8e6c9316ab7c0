"""Makes the full-size proofs (`tests/proofs`) importable; their short forms run here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
