"""The short form of `python tests/proofs maintenance` (B63, C46, C160, C161)."""

import pytest
from full import only_in_full
from postgres import running_server
from proofs import maintenance


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=only_in_full)])
def server(request):
    if request.param == "sqlite":
        yield None
    else:
        with running_server() as running:
            yield running


async def test_months_go_as_the_rules_say(tmp_path, server, monkeypatch):
    """Two years, or nine months on PostgreSQL, where each command needs longer to connect."""
    monkeypatch.setattr(maintenance, "KILLED", (3,))
    monkeypatch.setattr(maintenance, "TWICE", (5,))
    months = 24 if server is None else 9
    report = await maintenance.prove(tmp_path, patrons=300, months=months, seed=1, server=server)
    assert report.failures == []
    assert report.numbers["steps"] > 8 * months
    assert report.numbers["refunds"] > 0
