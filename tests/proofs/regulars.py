"""Terminals of a gateway on an ordinary day: what each asks, and by which way it comes."""

import asyncio
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trustme
from desk import ask_09, ask_11, copy
from harness import STAMP, Terminal, ask_23, ask_37, ask_63, debt, person

from proofs.kiosks import Kiosk
from proofs.process import GatewayProcess

STATUS = "9900302.00"
PASSWORD = "pw"
FOR_EVER = "2099-12-31"
FEE = "20000.00"
HANDSHAKE_S = 60.0

KINDS = ("cash", "cash", "entrance", "entrance", "entrance", *("kiosk",) * 5)
"""The profiles of ten terminals. Of their kiosks one need not log in, and another one neither logs
in nor keeps its line."""
NEVER_LOGS_IN, HANGS_UP = 8, 9
PLAIN, TLS, BEHIND = range(3)
WAYS = (PLAIN, TLS, PLAIN, TLS, BEHIND)
"""Listeners at which five terminals come in: the last one through a proxy, and with TLS."""
LISTEN = """listen = [
  { address = "127.0.0.1:0", tls = false },
  { address = "127.0.0.2:0", tls = true },
  { address = "127.0.0.3:0", tls = true, proxy = true },
]
proxy_networks = ["127.128.0.0/9"]
tls_certificate = "server.pem"
tls_key = "server.key"
request_timeout_s = 15
terminal_timeout_s = 30
"""


@dataclass
class Authority:
    """Whom all terminals trust, and the gateway's certificate."""

    directory: Path

    def __post_init__(self) -> None:
        self._authority = trustme.CA()
        self.renew()

    def renew(self) -> None:
        """A new certificate for the gateway, in the same files."""
        made = self._authority.issue_cert("127.0.0.2", "127.0.0.3")
        made.private_key_pem.write_to_path(self.directory / "server.key")
        chain = made.cert_chain_pems[0]
        chain.write_to_path(self.directory / "server.pem")
        self.certificate = chain.bytes().decode()

    @cached_property
    def context(self) -> ssl.SSLContext:
        """A terminal's side."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context


@dataclass(frozen=True)
class Regular:
    """A terminal, by its number."""

    number: int

    @property
    def name(self) -> str:
        return f"t{self.number}"

    @property
    def kind(self) -> str:
        return KINDS[self.number % len(KINDS)]

    @property
    def logs_in(self) -> bool:
        return self.number % len(KINDS) not in (NEVER_LOGS_IN, HANGS_UP)

    @property
    def stays(self) -> bool:
        return self.number % len(KINDS) != HANGS_UP

    @property
    def listener(self) -> int:
        return WAYS[(self.number + self.number // len(KINDS)) % len(WAYS)]

    @property
    def address(self) -> str:
        """What the gateway knows it by."""
        first = "10.0" if self.listener == BEHIND else "127.1"
        return f"{first}.{self.number // 250}.{self.number % 250 + 1}"

    @property
    def peer(self) -> str:
        """Where its connections come from."""
        return self.address if self.listener != BEHIND else f"127.128.0.{self.number % 250 + 1}"

    def table(self) -> str:
        """What the configuration says of it."""
        who = f'password = "{PASSWORD}"' if self.logs_in else "login_required = false"
        return (
            f'[terminals.{self.name}]\nprofile = "{self.kind}"\nbranch = "MAIN"\n{who}\n'
            f'networks = ["{self.address}/32"]\n'
        )

    def records(self) -> Iterator[dict[str, object]]:
        """Its own visitor, payer with a debt, or reader and copy; nobody else asks about them."""
        yield person(self.card, f"Patron {self.card}", membership_until=FOR_EVER)
        if self.kind == "cash":
            yield debt(f"F{self.number}", self.card, FEE, created="2026-01-01")
        if self.kind == "kiosk":
            yield copy(f"C{self.number}")

    @property
    def card(self) -> str:
        return f"R{self.number}"

    def question(self, number: int) -> str:
        """Its request with that number; a new one has a new date, as terminals do."""
        return self._asks(number)[0]

    def is_good(self, number: int, answer: str) -> bool:
        """Whether that request had the answer that it must have."""
        return answer.startswith(self._asks(number)[1])

    def _asks(self, number: int) -> tuple[str, str]:
        """A request, and how its answer begins."""
        now = time.strftime("%Y%m%d    %H%M%S")
        if self.kind == "entrance":
            return ask_23(self.card, self.card).replace(STAMP, now), "24" + " " * 14
        if self.kind == "cash":
            bk = f"{self.name}-{number}"
            return ask_37(self.card, "0.01", pin=self.card, bk=bk).replace(STAMP, now), "38Y"
        item = f"C{self.number}"
        return (
            (ask_63(self.card), "64" + " " * 14),
            (ask_11(item, self.card, stamp=now), "121N"),
            (ask_63(self.card), "64" + " " * 14),
            (ask_09(item, stamp=now, returned=now), "101"),
            (STATUS, "98Y"),
        )[number % 5]

    def kiosk(
        self, gateway: Callable[[], GatewayProcess], known: Authority, pause_s: float
    ) -> Kiosk:
        """It, at work at whatever gateway there is."""
        return Kiosk(
            lambda: self.connect(gateway(), known),
            self.name if self.logs_in else "",
            PASSWORD,
            self.question,
            pause_s=pause_s,
            slower_every=math.inf,
            stays=self.stays,
        )

    async def connect(self, gateway: GatewayProcess, known: Authority) -> Terminal:
        """A new line, by its way."""
        host, _, port = gateway.addresses[self.listener].rpartition(":")
        local, context = (self.peer, 0), known.context
        if self.listener == PLAIN:
            return Terminal(*await asyncio.open_connection(host, port, local_addr=local))
        if self.listener == TLS:
            return Terminal(
                *await asyncio.open_connection(
                    host, port, local_addr=local, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
                )
            )
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind(local)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (host, int(port)))
            header = f"PROXY TCP4 {self.address} {host} {40_000 + self.number % 20_000} {port}\r\n"
            await loop.sock_sendall(sock, header.encode())
        except BaseException:
            sock.close()
            raise
        return Terminal(
            *await asyncio.open_connection(
                sock=sock,
                ssl=context,
                server_hostname=host,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        )


def library(regulars: list[Regular]) -> Iterator[dict[str, object]]:
    """What they ask about."""
    yield {"kind": "membership", "code": "201", "description": "Adult", "type": 4}
    yield {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"}
    for regular in regulars:
        yield from regular.records()
