"""Which requests make a patron active, on the day of the library (C161)."""

import pytest
from desk import ask_09, ask_11, ask_29
from harness import CONFIG, ask_23, ask_37, ask_63, running


async def active(gateway):
    """Who was active on which day, once it is written."""
    await gateway.store._activity._write_all()
    with gateway.store.snapshot() as connection:
        return dict(connection.execute("SELECT patron_id, day FROM activity").fetchall())


@pytest.mark.parametrize(
    ("terminal", "request_text", "patron"),
    [
        ("kiosk-1", ask_11("FREE1", "1009"), "1009"),
        ("kiosk-1", ask_29("ABLATE1", "1009"), "1009"),
        ("sorter-1", ask_09("LATE1"), "1009"),
        ("kiosk-1", ask_63("1009", "1009"), "1009"),
        ("door-out", ask_23("1001"), "1001"),
    ],
)
async def test_what_makes_a_patron_active(desk, terminal, request_text, patron):
    line = await desk.terminal(terminal)
    answer = await line.ask(request_text)
    assert await active(desk) == {patron: "2026-03-10"}, answer


@pytest.mark.parametrize(
    ("terminal", "request_text"),
    [
        ("kiosk-1", ask_63("1009")),
        ("kiosk-1", ask_63("1009", "0000")),
        ("kiosk-1", ask_11("REF1", "1009")),
        ("sorter-1", ask_09("FREE1")),
        ("sorter-1", ask_09("NOPE")),
        ("door-1", ask_23("1004")),
        ("pay-1", ask_37("1004", "999.00", bk="BK1")),
    ],
)
async def test_what_does_not(desk, terminal, request_text):
    line = await desk.terminal(terminal)
    await line.ask(request_text)
    assert await active(desk) == {}


async def test_a_payment_does_even_without_a_pin(tmp_path):
    config = CONFIG.replace("[profiles.cash]", "[profiles.cash]\npin_required = false")
    async with running(tmp_path, config=config) as gateway:
        till = await gateway.terminal("pay-1")
        answer = await till.ask(ask_37("1004", "10.00", fee="D1", bk="BK1"))
        assert answer.startswith("38Y")
        assert await active(gateway) == {"1004": "2026-03-10"}
