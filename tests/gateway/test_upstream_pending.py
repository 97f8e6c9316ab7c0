"""37 in front of a library system that takes none: we book it, and staff tell it later
(B44, B46, B75, C98, C104, C105, C123, C124, C152, C157)."""

from harness import STAMP, fields
from tills import before, listed, pay, went_up

FIXED_24, FIXED_64 = 37, 61
HERE = "payments = false"
FINES = "   Y      "


def ask(patron="1001", pin="1234", summary=FINES, more=""):
    return f"63001{STAMP}{summary}AOHUB|AA{patron}|AC|AD{pin}|{more}"


async def shown(gateway, request=None):
    """BV, the fee lines and their count in a 64."""
    till = await gateway.terminal("till-1")
    answer = await till.ask(request or ask())
    return (
        *fields(answer, "BV", fixed=FIXED_64),
        fields(answer, "AV", fixed=FIXED_64),
        int(answer[49:53]),
    )


def pending(gateway):
    return [
        (one.patron, one.fee, one.amount) for one in gateway.store.payment_exports({}, pending=True)
    ]


async def test_a_payment_is_booked_here_and_its_fee_is_no_longer_shown(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay("3.00", more="CG2|"))
        assert answer.startswith("38Y")
        assert "Still to pay: EUR 2.00." in answer
        assert went_up(library) == []
        assert listed(gateway) == [("booked", 300, "1001", [("2", 300)])]
        assert pending(gateway) == [("1001", "2", 300)]
        assert await shown(gateway) == ("2.00", ["#1 Fee 2.00"], 1)
        # The same again gets the first answer, and is booked once.
        assert await (await gateway.terminal("till-1")).ask(pay("3.00", more="CG2|")) == answer
        assert len(listed(gateway)) == 1
