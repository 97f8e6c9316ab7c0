"""PINs that a library system has hashed: right at once, and ours from then on (B20, B69)."""

from unittest.mock import patch

import pytest
import pytest_asyncio
from foreign_pins import EVERGREEN_2468, KOHA_2468
from harness import LIBRARY, ask_23, person, running

from sip2gw.backend.base import UnavailableError

ADMITTED, REFUSED = "24    ", "24Y   "


def reader(card, pin_hash):
    known = person(card, "Kim Koha", pin_hash=pin_hash)
    del known["pin"]
    return known


@pytest_asyncio.fixture
async def gateway(tmp_path):
    """One with two readers of whom only a library system's hash is known, and one without PIN."""
    nobody = person("2003", "Nora Nopin")
    del nobody["pin"]
    more = [reader("2001", KOHA_2468), reader("2002", EVERGREEN_2468), nobody]
    async with running(tmp_path, records=[*LIBRARY, *more]) as started:
        yield started


async def hash_of(gateway, patron_id):
    return (await gateway.store.find_patron(patron_id)).pin_hash


async def replaced(gateway):
    """All that follows answers has been done."""
    await gateway.app._pins.replacing.done()


@pytest.mark.parametrize("card", ["2001", "2002"])
async def test_the_right_pin_opens_and_its_hash_becomes_ours(gateway, card):
    door = await gateway.terminal("door-1")
    assert (await door.ask(ask_23(card, "2468"))).startswith(ADMITTED)
    await replaced(gateway)
    assert (await hash_of(gateway, card)).startswith("$argon2id$")
    gateway.clock.advance(3600)  # nothing is remembered of the first time
    assert (await door.ask(ask_23(card, "2468"))).startswith(ADMITTED)
    assert (await door.ask(ask_23(card, "2469"))).startswith(REFUSED)


async def test_a_wrong_pin_is_counted_and_leaves_the_hash(gateway):
    door = await gateway.terminal("door-1")
    for _ in range(5):
        assert (await door.ask(ask_23("2001", "1111"))).startswith(REFUSED)
    assert (await door.ask(ask_23("2001", "2468"))).startswith(REFUSED), "locked by now"
    await replaced(gateway)
    assert await hash_of(gateway, "2001") == KOHA_2468


async def test_a_store_that_cannot_be_written_lets_the_reader_in(gateway):
    """It is tried again at a later right PIN."""
    door = await gateway.terminal("door-1")
    with patch.object(gateway.store, "replace_pin_hash", side_effect=UnavailableError("x")):
        assert (await door.ask(ask_23("2001", "2468"))).startswith(ADMITTED)
        await replaced(gateway)
    assert await hash_of(gateway, "2001") == KOHA_2468
    gateway.clock.advance(3600)
    assert (await door.ask(ask_23("2001", "2468"))).startswith(ADMITTED)
    await replaced(gateway)
    assert (await hash_of(gateway, "2001")).startswith("$argon2id$")


async def test_a_patron_whose_pin_is_not_there_yet_stays_outside(gateway):
    """An import brings the patron first and the PIN later."""
    door = await gateway.terminal("door-1")
    for pin in ("2003", "0000", ""):
        assert (await door.ask(ask_23("2003", pin))).startswith(REFUSED)
