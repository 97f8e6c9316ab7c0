"""Both stores lend as a second statement of the rules says.

The short form runs with the other tests. In full (20,000 steps on both stores, some minutes):

    SIP2GW_MODEL_OPERATIONS=20000 pytest -s tests/backend/test_desk_model.py

`SIP2GW_MODEL_SEED` chooses other random steps. At terminals whose clocks are not right it is played
by `tests/proofs/clocks.py`.
"""

from __future__ import annotations

import os

import pytest
from postgres import Server

from .desk_machine import DeskMachine, play
from .desk_scene import MET

OPERATIONS = int(os.environ.get("SIP2GW_MODEL_OPERATIONS", "150"))
FIRST_SEED = int(os.environ.get("SIP2GW_MODEL_SEED", "1"))


@pytest.mark.no_cover
def test_both_stores_do_what_the_model_says(postgres: Server) -> None:
    done = play(DeskMachine, postgres, OPERATIONS, FIRST_SEED)
    print(dict(done))  # noqa: T201 (seen with `pytest -s`)
    assert OPERATIONS < 10_000 or done.keys() >= MET
