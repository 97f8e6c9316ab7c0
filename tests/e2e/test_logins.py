"""The short form of `python tests/proofs logins` (C100): guesses beside good terminals."""

from proofs import logins


async def test_guesses_at_logins_cost_their_address_only(tmp_path):
    report, found = await logins.prove(tmp_path, lines=10, tries=2, terminals=5)
    assert report.failures == []
    assert found.back_s
