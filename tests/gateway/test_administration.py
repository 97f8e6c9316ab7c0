"""What staff changes beside a running gateway is seen at the very next request (C62)."""

import pytest_asyncio
from harness import NOON, ZONE, ask_23, ask_37, ask_63, fields

from sip2gw.backend.factory import open_backend
from sip2gw.foundation.hashing import hash_pin
from sip2gw.model import (
    Badge,
    Block,
    BlockType,
    Relationship,
    RelationshipType,
)
from sip2gw.model.badges import BadgeWish, Deed
from sip2gw.policy.relationships import RelationshipRules

EVA = Deed("eva", NOON)
FIXED_24, FIXED_64 = 37, 61


@pytest_asyncio.fixture
async def staff(gateway):
    """The store as a command opens it, beside the daemon."""
    store = open_backend(gateway.app.config, "command").store
    yield store
    await store.close()


async def test_b65_badges(gateway, staff):
    kiosk = await gateway.terminal("kiosk-1")

    async def shown():
        return fields(await kiosk.ask(ask_23("1001", "1001")), "GL", fixed=FIXED_24)

    assert await shown() == ["ONBE"]
    await staff.define_badge(Badge("VOLU", "Volunteers", active=False))
    await staff.assign_badge("VOLU", [BadgeWish("1001R")], EVA)
    assert await shown() == ["ONBE"]
    await staff.set_badge_active("VOLU", True)
    assert await shown() == ["ONBE", "VOLU"]
    await staff.unassign_badge("ONBE", "1001", EVA)
    assert await shown() == ["VOLU"]
    await staff.set_badge_active("VOLU", False)
    assert await shown() == []


async def test_b65_a_deactivated_badge_closes_the_door(gateway, staff):
    door = await gateway.terminal("door-1")
    assert "BLY|CQY|" in await door.ask(ask_23("1001", "1001"))
    await staff.set_badge_active("ONBE", False)
    assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")


async def test_b49_relationships(gateway, staff):
    """Gil (1009) becomes Tom's head, and then no longer; Anna was."""
    pay = await gateway.terminal("pay-1")

    async def total(card):
        (amount,) = fields(await pay.ask(ask_63(card, card)), "BV", fixed=FIXED_64)
        return amount

    assert (await total("1001"), await total("1009")) == ("3.00", "0.00")
    family = RelationshipType.HEAD_OF_FAMILY
    await staff.remove_relationship(family, "1001B", "1002")
    await staff.add_relationship(
        Relationship(family, "1009", "1002"), RelationshipRules(), NOON.date()
    )
    assert (await total("1001"), await total("1009")) == ("0.00", "3.00")
    assert (await pay.ask(ask_37("1009", "3.00", pin="1009", fee="T1"))).startswith("38Y")


async def test_b50_an_authorisation_pays_only_when_it_is_confirmed(gateway, staff):
    pay = await gateway.terminal("pay-1")
    kind = RelationshipType.AUTHORISATION
    wanted = Relationship(kind, "1004", "1009", frozenset({"pay"}), confirmed=False)
    await staff.add_relationship(wanted, RelationshipRules(), NOON.date())
    request = ask_37("1009", "1.00", pin="1009", fee="D1", bk="K")
    assert (await pay.ask(request)).startswith("38N")
    await staff.confirm_relationship(kind, "1004", "1009")
    assert (await pay.ask(request)).startswith("38Y")


async def test_c54_an_undone_payment_is_owed_again_and_its_bk_stays_taken(gateway, staff):
    pay = await gateway.terminal("pay-1")
    request = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    first = await pay.ask(request)
    (payment,) = staff.payments()
    await staff.undo_payment(payment.id, NOON, ZONE)
    answer = await pay.ask(ask_63("1004", "1004"))
    assert fields(answer, "BV", fixed=FIXED_64) == ["12.50"]
    assert await pay.ask(request) == first
    assert [entry.status for entry in staff.payments()] == ["undone"]
    assert staff.self_check() == []


async def test_c41_blocks_of_staff(gateway, staff):
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(ask_23("1009", "1009"))).startswith("24    ")
    await staff.set_block("1009", Block(BlockType.GENERAL, "ask", None, "staff"))
    assert (await kiosk.ask(ask_23("1009", "1009"))).startswith("24YYYY")
    await staff.lift_blocks("1009", frozenset({"staff", "terminal"}))
    assert (await kiosk.ask(ask_23("1009", "1009"))).startswith("24    ")


async def test_c51_a_new_pin_is_the_only_one_and_unlocks(gateway, staff):
    kiosk = await gateway.terminal("kiosk-1")
    for _ in range(5):
        await kiosk.ask(ask_23("1009", "0000"))
    assert "CQN" in await kiosk.ask(ask_23("1009", "1009"))
    cheap = hash_pin(staff.pin_secret, "7777", memory_kib=8, time_cost=1)
    assert await staff.set_pin_hash("1009", cheap)
    assert "CQY" in await kiosk.ask(ask_23("1009", "7777"))
    assert "CQN" in await kiosk.ask(ask_23("1009", "1009"))
