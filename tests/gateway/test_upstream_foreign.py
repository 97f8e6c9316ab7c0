"""The dialogue of a kiosk through a gateway in front of somebody else's server, pysip2 (B73)."""

from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute
from harness import CONFIG, STAMP, ask_63, running

pysip2 = pytest.importorskip("pysip2.server", reason="pysip2, a server by others, is missing")
models = pytest.importorskip("pysip2.models")
routes = pytest.importorskip("pysip2.routes")

# Their server takes a 11 without a due date of the terminal for an error, and hangs up.
DUE = "20260331    235900"
BACKEND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:{port}"
login = "gateway"
password = "behind"
institution = "FOREIGN"
"""


def foreign():
    """A library of theirs with one patron and one item, and who has it."""
    server = pysip2.SIP2Server(institution_id="FOREIGN", login_required=True)
    lent: dict[str, str] = {}

    @server.route(routes.LOGIN)
    async def login(request, context):
        return models.LoginResponse(ok="1" if request.login_password == "behind" else "0")

    @server.route(routes.PATRON_INFORMATION)
    async def information(request, context):
        is_known = request.patron_identifier == "91"
        return models.PatronInformationResponse(
            patron_status=" " * 14,
            language="001",
            transaction_date=STAMP,
            hold_items_count="0000",
            overdue_items_count="0000",
            charged_items_count=f"{len(lent):04}",
            fine_items_count="0000",
            recall_items_count="0000",
            unavailable_holds_count="0000",
            institution_id="FOREIGN",
            patron_identifier=request.patron_identifier,
            personal_name="Jan Jansen" if is_known else "",
            valid_patron="Y" if is_known else "N",
            valid_patron_password="Y" if request.patron_password == "1234" else "N",
            charged_items=tuple(lent),
        )

    @server.route(routes.CHECKOUT)
    async def checkout(request, context):
        is_free = request.item_identifier not in lent
        if is_free:
            lent[request.item_identifier] = request.patron_identifier
        return models.CheckoutResponse(
            ok="1" if is_free else "0",
            renewal_ok="N",
            magnetic_media="N",
            desensitize="Y" if is_free else "N",
            transaction_date=request.transaction_date,
            institution_id="FOREIGN",
            patron_identifier=request.patron_identifier,
            item_identifier=request.item_identifier,
            title_identifier="Café",
            due_date=DUE if is_free else "",
            screen_message=() if is_free else ("On loan.",),
        )

    @server.route(routes.CHECKIN)
    async def checkin(request, context):
        patron = lent.pop(request.item_identifier, None)
        return models.CheckinResponse(
            ok="1" if patron else "0",
            resensitize="Y",
            magnetic_media="N",
            alert="N",
            transaction_date=request.transaction_date,
            institution_id="FOREIGN",
            item_identifier=request.item_identifier,
            permanent_location=request.current_location,
            patron_identifier=patron,
        )

    return server


@asynccontextmanager
async def serving(server):
    """The port on which `server` serves; its own `start` leaves the socket open."""
    listener = await server.listen(port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server._handle_connection)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def test_a_kiosk_lends_and_takes_back_through_a_foreign_server(tmp_path):
    async with serving(foreign()) as port:
        config = CONFIG + BACKEND.format(port=port)
        async with running(tmp_path, config=config, records=[]) as gateway:
            kiosk = await gateway.terminal("kiosk-1")
            said = await kiosk.ask("9900402.00")
            assert said.startswith("98YYYNN")
            assert "|BXNYYNYYYYNNNNNNNN|" in said  # a 35 they do not offer
            assert "|AEJan Jansen|" in await kiosk.ask(ask_63("91", "1234"))
            loan = f"11NN{STAMP}{DUE}AOHUB|AA91|ABB1|AC|AD1234|"
            assert await kiosk.ask(loan) == (f"121NNY{STAMP}AOHUB|AA91|ABB1|AJCafé|AH{DUE}|")
            assert "|AUB1|" in await kiosk.ask(ask_63("91", "1234", summary="  Y       "))
            another = f"11NN20260310    120005{DUE}AOHUB|AA91|ABB1|AC|AD1234|"
            assert (await kiosk.ask(another)).startswith("120")
            assert await kiosk.ask(f"09N{STAMP}{STAMP}AP|AOHUB|ABB1|AC|") == (
                f"101YNN{STAMP}AOHUB|ABB1|AQMAIN|AA91|"
            )
            assert (await kiosk.ask(f"15+{STAMP}AOHUB|AA91|ABB1|")).startswith("160")
            assert (await kiosk.ask(f"35{STAMP}AOHUB|AA91|AC|")).startswith("36Y")
