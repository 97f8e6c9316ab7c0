"""A slow name server holds up nobody (C114)."""

import asyncio
import socket
import threading

from harness import running

from sip2gw.admin import AdminServer
from sip2gw.server import TerminalServer

STATUS = "9900302.00"


async def test_serving_on_addresses_looks_up_no_name(tmp_path, monkeypatch):
    looked_up = []

    def look_up(name, *rest, **options):
        looked_up.append(name)
        raise socket.gaierror("the name server does not answer")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "getaddrinfo", "getnameinfo"):
        monkeypatch.setattr(socket, function, look_up)
    async with running(tmp_path) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        host, _, port = gateway.admin.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()
    assert looked_up == []


async def test_terminals_are_served_while_the_admin_address_is_looked_up(tmp_path, monkeypatch):
    found = threading.Event()
    start = AdminServer.start

    def start_late(self, address):
        assert found.wait(20)
        return start(self, address)

    monkeypatch.setattr(AdminServer, "start", start_late)

    servers = []

    class Server(TerminalServer):
        async def listen(self, *given):
            await super().listen(*given)
            servers.append(self)
            opened.set()

    opened = asyncio.Event()
    monkeypatch.setattr("sip2gw.app.TerminalServer", Server)

    async def ask():
        await opened.wait()
        reader, writer = await asyncio.open_connection(*address_of(servers[0]))
        writer.write(b"9300CNkiosk-1|COpw|\r")
        answer = await reader.readuntil(b"\r")
        writer.close()
        found.set()
        return answer

    asking = asyncio.create_task(ask())
    async with running(tmp_path):
        assert await asking == b"941\r"


def address_of(server):
    host, _, port = server.bound_addresses()[0].rpartition(":")
    return host, int(port)
