"""The short form of `python tests/proofs observe` (B78, C126, C153)."""

from unittest.mock import patch

import pytest
from proofs.observe import observe

from sip2gw.protocol.line.connection import ServerConnection


async def test_what_passes_an_observed_profile_is_the_same_as_directly(tmp_path):
    report = await observe(tmp_path, 600, seed=7)
    assert report.failures == []
    assert report.numbers["kinds"] == 16, "all that the standard and Wise have, and unknown ones"
    assert report.numbers["compared"]


@pytest.mark.parametrize(
    "fault",
    [
        patch("sip2gw.protocol.codec._body_of", lambda answer: answer.body.rstrip(b"|") + b"|"),
        patch.object(
            ServerConnection,
            "pending_body",
            property(lambda link: link._exchange.trailer.body.rstrip(b"|") + b"|"),
        ),
    ],
    ids=["an answer tidied up", "a request tidied up"],
)
async def test_the_proof_notices_a_gateway_that_changes_something(tmp_path, fault):
    with fault:
        report = await observe(tmp_path, 200, seed=7)
    assert report.failures
