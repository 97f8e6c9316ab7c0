"""A family that makes itself: proposed, confirmed, paid at a kiosk, withdrawn (B50, B51).

The website asks REST in this process, with a store of its own, beside the running gateway.
"""

import asyncio
from datetime import date

from harness import CONFIG, LIBRARY, ask_37, ask_63, debt, fields, person, running
from programs import Site, with_tokens

FIXED_64 = 61
ALWAYS = {"membership_until": "2099-12-31"}
FAMILY = [
    person("2001", "Ann", **ALWAYS),
    person("2002", "Bob", birth_date="1984-05-23", **ALWAYS),
    debt("A1", "2001", "4.00"),
    debt("O1", "2002", "1.00"),
]


async def seen_by_bob(kiosk):
    """What Bob may pay, his own first."""
    answer = await kiosk.ask(ask_63("2002", "2002", summary="   Y      "))
    return fields(answer, "BV", fixed=FIXED_64)


async def test_a_family_is_built_paid_for_and_ended_by_patrons_alone(tmp_path):
    config = CONFIG + with_tokens(tmp_path)
    async with running(tmp_path, config=config, records=[*LIBRARY, *FAMILY]) as gateway:
        site = await asyncio.to_thread(Site.beside, gateway.app.config.path)
        website = site.client("self")
        ann, bob = website.acting_for("2001"), website.acting_for("2002")
        pay = await gateway.terminal("pay-1")
        assert await seen_by_bob(pay) == ["1.00"]

        await asyncio.to_thread(ann.propose, "2002", date(1984, 5, 23), ["pay"])
        assert await seen_by_bob(pay) == ["1.00"]  # it is not in force
        refused = await pay.ask(ask_37("2002", "4.00", pin="2002", fee="A1", bk="K1"))
        assert refused[2] == "N"

        await asyncio.to_thread(bob.confirm, "2001")
        assert await seen_by_bob(pay) == ["5.00"]
        assert (await pay.ask(ask_37("2002", "1.50", pin="2002", fee="A1", bk="K2")))[2] == "Y"
        assert await seen_by_bob(pay) == ["3.50"]

        await asyncio.to_thread(ann.withdraw, "2002")
        assert await seen_by_bob(pay) == ["1.00"]
        assert (await pay.ask(ask_37("2002", "1.00", pin="2002", fee="A1", bk="K3")))[2] == "N"

        (payment,) = gateway.store.payments()
        (line,) = payment.lines
        assert (payment.payer_id, line.debtor_id, line.relation, line.amount) == (
            *("2002", "2001", "authorisation", 150),
        )
        await asyncio.to_thread(site.close)
