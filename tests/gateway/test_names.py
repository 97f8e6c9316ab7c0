"""A slow name server holds up nobody (C114)."""

import asyncio
import socket
import threading

from harness import running

from sip2gw.web import process

STATUS = "9900302.00"


async def test_serving_on_addresses_looks_up_no_name(tmp_path, monkeypatch):
    looked_up = []

    def look_up(name, *rest, **options):
        looked_up.append(name)
        raise socket.gaierror("the name server does not answer")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "getaddrinfo", "getnameinfo"):
        monkeypatch.setattr(socket, function, look_up)
    async with running(tmp_path, operators=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        host, _, port = gateway.admin.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()
    assert looked_up == []


async def test_terminals_are_served_while_the_address_of_http_is_looked_up(tmp_path, monkeypatch):
    found, bind = threading.Event(), process.bind

    def bind_late(address):
        assert found.wait(20)
        return bind(address)

    monkeypatch.setattr(process, "bind", bind_late)
    async with running(tmp_path) as gateway:
        opening = asyncio.create_task(gateway.app.operators.open(gateway.app.config))
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        assert not opening.done()
        found.set()
        await opening
