"""REST of a running gateway: its own process reads the configuration and asks over the socket.

One test, because that process takes more than a second to start and to open the store.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from harness import CONFIG, running

from sip2gw.model.rights import Role
from sip2gw.staff.tokens import make_token


async def request(
    address: str, token: str, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    sent = b"" if body is None else json.dumps(body).encode()
    head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + sent)
    try:
        answer = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    if not answer:
        return 0, None  # a busy machine: it took longer than a request may take
    start, _, body = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(body)


async def test_programs_ask_a_running_gateway(tmp_path) -> None:
    async with running(tmp_path, operators=True) as gateway:
        app = gateway.app
        token = await make_token(app.store, app.config, "ann", Role.ADMIN, datetime.now(UTC))
        status = 0
        while status in (0, 503):  # until the process has started and opened the store
            status, listed = await request(gateway.admin, token, "GET", "/terminals?limit=1000")
        assert status == 200
        assert {one["name"] for one in listed["items"]} == set(app.site.by_name)
        assert await request(gateway.admin, token, "POST", "/reload") == (
            200,
            {"needs_restart": []},
        )
        app.config.path.write_text(CONFIG.replace("[institution]", "[institution]\nnonsense = 1"))
        status, problem = await request(gateway.admin, token, "POST", "/reload")
        assert (status, len(problem["problems"])) == (409, 1)
        path = "/terminals/kiosk-1/trace?frames=1&seconds=5"
        watching = asyncio.ensure_future(request(gateway.admin, token, "GET", path))
        while "kiosk-1" not in app.server._watchers:  # noqa: ASYNC110 -- it begins elsewhere
            await asyncio.sleep(0.01)
        await gateway.terminal("kiosk-1")
        status, trace = await watching
        assert (status, trace["terminal"], trace["reason"]) == (200, "kiosk-1", "frames")
        assert [one["what"] for one in trace["events"]] == ["connected", "sent"]
        asked = {"terminal": "door-1", "card": "1001", "pin": "1001", "direction": "in"}
        assert await request(gateway.admin, token, "POST", "/door/decide", asked) == (
            200,
            {"decision": "granted", "reason": "granted", "text": "Welcome."},
        )
        (status, _) = await request(gateway.admin, "x" * 40, "GET", "/terminals")
        assert status == 401
        done = [(one.act.action, one.outcome) for one in app.store.audit_entries()]
        assert done == [("reload", "done"), ("reload", "refused"), ("terminal trace", "done")]
