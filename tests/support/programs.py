"""Programs that ask REST, in the test's own process: no socket, no gateway, no other process.

The gate, the application and the store are the real ones; only the gateway's answers are played.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from once import Once
from typer.testing import CliRunner

from sip2gw.cli.app import app
from sip2gw.client import Client
from sip2gw.client.line import Raw
from sip2gw.config import load_config
from sip2gw.config.passing import pack
from sip2gw.control.messages import Alive, Configuration, ReadConfiguration
from sip2gw.web.api import desk as desks
from sip2gw.web.api.desk import Desk
from sip2gw.web.api.gate import Api
from sip2gw.web.api.problems import ProblemError

ROLES = ("view", "staff", "admin", "self")
"""Each has a token of that name."""

_CONFIG = """\
[institution]
id = "HUB"
name = "Hub"
currency = "EUR"
timezone = "Europe/Brussels"
[store]
url = "sqlite:library.db"
[branches.MAIN]
[branches.EAST]
[profiles.kiosk]
kind = "selfcheck"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "pw"
networks = ["127.0.0.0/8"]
"""
_BEHIND = """\
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "pw"
"""
_stores = Once()
# A process has one desk, whose loop ends with it. Tests make hundreds, whose loops would all stay.
vars(desks)["Loop"] = cache(desks.Loop)


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.text)

    @property
    def refusal(self) -> tuple[int, str]:
        """Its status, and why."""
        assert self.headers["content-type"] == "application/problem+json"
        return self.status, self.json["detail"]


class Site:
    """A library with tokens, for programs and for commands.

    Args:
        directory: an empty one, for its files.
        records: what is imported into its store.
        behind: whether it stands in front of a library system.
    """

    def __init__(self, directory: Path, *records: dict[str, Any], behind: bool = False) -> None:
        self.config = directory / "sip2gw.toml"
        self.config.write_text(_CONFIG + (_BEHIND if behind else "") + with_tokens(directory))
        self._fill(directory, records)
        self._open()

    @classmethod
    def beside(cls, config: Path) -> Site:
        """Programs beside a gateway that runs with `config`, which has the tokens."""
        site = cls.__new__(cls)
        site.config = config
        site._open()
        return site

    def _open(self) -> None:
        self.answers: dict[type[Any], Any] = {}
        """What the gateway answers, by the kind of request, beside what it must."""
        self._loop = asyncio.new_event_loop()
        # Time flies, so nobody asks too fast.
        self._running = load_config(self.config)
        self._api = Api(self._play_the_gateway, count().__next__)
        while self._api._opened is None:  # at most some seconds on a busy machine
            with suppress(ProblemError):
                self._loop.run_until_complete(self._api._try_to_open())

    def _fill(self, directory: Path, records: tuple[dict[str, Any], ...]) -> None:
        key = json.dumps(records)
        if _stores.give(key, directory):
            return
        data = directory / "library.jsonl"
        data.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        result = self.command("import", str(data))
        assert result.exit_code == 0, result.output
        _stores.keep(key, directory / "library.db")

    @property
    def desk(self) -> Desk:
        """What its resources work with."""
        opened = self._api._opened
        assert opened is not None
        return opened.desk

    def reload(self) -> None:
        """Let the gateway put its file in force."""
        self._running = self.desk.config = load_config(self.config)

    def close(self) -> None:
        """Close its store, and end its threads."""
        end(self.desk)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def command(self, *arguments: str, stdin: str | None = None) -> Any:
        """What a command says."""
        given = [*arguments, "--config", str(self.config)]
        return CliRunner().invoke(app, given, input=stdin, catch_exceptions=False)

    def listed(self, *arguments: str) -> list[Any]:
        """What a command says in JSON."""
        result = self.command(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def audit(self) -> list[tuple[str, ...]]:
        """What programs did: who, what, about which object and patron, and what became of it."""
        keys = ("who", "action", "object", "patron", "outcome")
        found = (one for one in self.listed("audit") if one["source"] == "rest")
        return [tuple(one[key] or "" for key in keys) for one in found]

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "admin",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Told:
        """What is answered to a request; `body` is bytes, or becomes JSON."""
        sent = body if isinstance(body, bytes) else b"" if body is None else _encoded(body)
        told = {
            "authorization": f"Bearer {role}-{'x' * 40}",
            "content-type": "application/json",
            **(headers or {}),
        }
        scope = {
            "type": "http",
            "method": method,
            "path": f"/api/v1{path}",
            "raw_path": quote(f"/api/v1{path}").encode(),
            "query_string": urlencode(query).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
            "client": ("192.0.2.7", 4711),
        }
        return self._loop.run_until_complete(asyncio.wait_for(self._answered(scope, sent), 60))

    def client(self, role: str = "admin") -> Client:
        """The client that we ship, without a network."""
        return Client("", f"{role}-{'x' * 40}", send=self._send)

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Raw:
        where, _, query = path.partition("?")
        where = unquote(where.removeprefix("/api/v1"))
        given = dict(parse_qsl(query, keep_blank_values=True))
        told = self.ask(method, where, body, headers=dict(headers), **given)
        return Raw(told.status, told.headers, told.text.encode())

    async def _play_the_gateway(self, request: Any) -> Any:
        if isinstance(request, ReadConfiguration):
            return Configuration(0, pack(self._running))
        return self.answers.get(type(request), Alive(ready=True))

    async def _answered(self, scope: dict[str, Any], body: bytes) -> Told:
        said: list[Any] = []

        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not parts:
                await asyncio.Event().wait()  # the client stays
            return parts.pop()

        async def send(message: Any) -> None:
            said.append(message)

        await self._api(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
        text = b"".join(message.get("body", b"") for message in said[1:]).decode()
        return Told(said[0]["status"], headers, text)


def end(desk: Desk) -> None:
    """Close its store."""
    desk.run(desk.store.close())


def with_tokens(directory: Path) -> str:
    """Tables of the configuration with a token for each role, whose files are in `directory`."""
    tables = []
    for role in ROLES:
        (directory / f"{role}.token").write_text(f"{role}-{'x' * 40}\n")
        tables.append(f'[admin.tokens.{role}]\nrole = "{role}"\ntoken_file = "{role}.token"\n')
    return "".join(tables)


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
