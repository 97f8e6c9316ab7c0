"""TLS against the openssl command line, silent connections and reloads.  (B88, C101, C137, C173)

A real gateway process listens in four ways: with client certificates required and optional, with
TLS 1.3 only for those who come through a proxy, and plain. First `openssl s_client` comes to it in
every way that must be refused, and in those that must not; each refusal is found in the log and in
the metrics, with its reason. Then `--silent` connections say nothing at all, and as many stop in
the middle of their handshake, while kiosks go on asking; all of them end at the login time-out, and
the gateway has hardly grown. At last the certificate is changed by `--reloads` reloads while kiosks
ask: none is dropped, and each reload is seen by who comes next.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from harness import CONFIG, LIBRARY, Terminal

from proofs.memory import resident_mib
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.monitoring.metrics import HANDSHAKE_REASONS

LOGIN = "9300CNkiosk-1|COpw|"
WELCOME = b"941"
KIOSKS = 10
LOGIN_TIMEOUT_S = 5.0
SWEPT_WITHIN_S = 3.0
ANSWER_S = 10.0
SILENT_KIB_MAX = 100
"""What a silent connection may cost; asyncio's own buffer alone would be 256."""
NAMED = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 6001\r\n"
REQUIRED, OPTIONAL, BEHIND, PLAIN = range(4)
SERVER = f"""[server]
login_timeout_s = {LOGIN_TIMEOUT_S}
tls_certificate = "server.pem"
tls_key = "server.key"
tls_client_ca = "ca.pem"
listen = [
  {{ address = "127.0.0.1:0", tls = true, client_certificate = "required" }},
  {{ address = "127.0.0.2:0", tls = true, client_certificate = "optional" }},
  {{ address = "127.0.0.3:0", tls = true, proxy = true }},
  {{ address = "127.0.0.4:0", tls = false }},
]
"""


class Certificates:
    """Everybody's, as files in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.renew()
        self.authority.cert_pem.write_to_path(directory / "ca.pem")
        self.stranger.cert_pem.write_to_path(directory / "other-ca.pem")
        expired = datetime.now(UTC) - timedelta(days=1)
        self._issue("kiosk", self.authority)
        self._issue("expired", self.authority, expired)
        self._issue("foreign", self.stranger)

    def renew(self) -> None:
        """A new certificate for the gateway, in the same files."""
        self._issue("server", self.authority)

    def _issue(self, name: str, by: trustme.CA, until: datetime | None = None) -> None:
        made = by.issue_cert("127.0.0.1", common_name=name, not_after=until)
        made.private_key_pem.write_to_path(self.directory / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(self.directory / f"{name}.pem")

    def shown(self, name: str) -> list[str]:
        """What tells s_client to show that certificate."""
        return ["-cert", f"{self.directory}/{name}.pem", "-key", f"{self.directory}/{name}.key"]

    @property
    def believed(self) -> list[str]:
        """What tells s_client to trust our authority, and to give up otherwise."""
        return ["-CAfile", f"{self.directory}/ca.pem", "-verify_return_error"]

    def context(self) -> ssl.SSLContext:
        """A kiosk's side that may come everywhere."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        files = (self.directory / "kiosk.pem", self.directory / "kiosk.key")
        context.load_cert_chain(*files)
        context.check_hostname = False
        return context


Case = tuple[str, int, list[str], str]
"""What it is called, to which listener, the options of s_client, and the reason of the refusal."""


def cases(known: Certificates) -> list[Case]:
    """Everybody who comes by s_client; an empty reason: the login succeeds."""
    kiosk, trust = known.shown("kiosk"), known.believed
    weak = ["-cipher", "ALL:@SECLEVEL=0"]
    return [
        ("TLS 1.3", REQUIRED, ["-tls1_3", *kiosk, *trust], ""),
        ("TLS 1.2", REQUIRED, ["-tls1_2", *kiosk, *trust], ""),
        ("TLS 1.1", REQUIRED, ["-tls1_1", *weak, *kiosk, *trust], "version"),
        ("TLS 1.0", REQUIRED, ["-tls1", *weak, *kiosk, *trust], "version"),
        (
            "no encryption",
            REQUIRED,
            ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0", *kiosk, *trust],
            "version",
        ),
        ("no certificate, TLS 1.3", REQUIRED, ["-tls1_3", *trust], "no_certificate"),
        ("no certificate, TLS 1.2", REQUIRED, ["-tls1_2", *trust], "no_certificate"),
        ("no certificate where it may", OPTIONAL, trust, ""),
        ("a certificate where it may", OPTIONAL, [*kiosk, *trust], ""),
        ("expired", REQUIRED, [*known.shown("expired"), *trust], "bad_certificate"),
        ("expired where it may", OPTIONAL, [*known.shown("expired"), *trust], "bad_certificate"),
        ("foreign, TLS 1.3", REQUIRED, [*known.shown("foreign"), *trust], "bad_certificate"),
        (
            "foreign, TLS 1.2",
            REQUIRED,
            ["-tls1_2", *known.shown("foreign"), *trust],
            "bad_certificate",
        ),
        (
            "does not trust us",
            REQUIRED,
            [*kiosk, "-CAfile", f"{known.directory}/other-ca.pem", "-verify_return_error"],
            "client_aborted",
        ),
    ]


class Proof:
    """One gateway, and all who come to it."""

    def __init__(self, gateway: GatewayProcess, known: Certificates, report: Report) -> None:
        self.gateway, self.known, self.report = gateway, known, report
        self.expected: Counter[str] = Counter()
        """The failed handshakes so far, by reason."""
        self.asked = 0

    def place(self, listener: int) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.gateway.addresses[listener].rpartition(":")
        return host, int(port)

    # openssl s_client ----------------------------------------------------------------------

    async def come(self, case: Case) -> None:
        """Let s_client log in, or be refused for that reason."""
        name, listener, options, reason = case
        host, port = self.place(listener)
        before = len(self.gateway.events("tls_handshake_failed"))
        said = await s_client(["-connect", f"{host}:{port}", *options])
        self.report.expect((WELCOME in said) == (not reason), f"{name}: the answer was {said!r}")
        if not reason:
            return
        self.expected[reason] += 1
        told = await self.gateway.logged("tls_handshake_failed", before + 1)
        found = (told["reason"], told["address"])
        self.report.expect(found == (reason, "127.0.0.1"), f"{name}: the log says {told}")
        self.report.expect(bool(told["problem"]), f"{name}: the log tells no cause")

    async def come_without_tls(self) -> None:
        """A kiosk that speaks SIP2 to a TLS listener, and one that has no header behind a proxy."""
        for listener, words in ((REQUIRED, LOGIN.encode() + b"\r"), (BEHIND, b"\x16\x03\x01\x02")):
            reader, writer = await asyncio.open_connection(*self.place(listener))
            writer.write(words)
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(ANSWER_S):
                    self.report.expect(await reader.read() == b"", f"an answer at {listener}")
            writer.close()
        self.expected["not_tls"] += 1

    async def come_through_a_proxy(self) -> None:
        """The header and the first words of TLS in one segment."""
        reader, writer = await asyncio.open_connection(*self.place(BEHIND))
        heard, words = ssl.MemoryBIO(), ssl.MemoryBIO()
        talk = self.known.context().wrap_bio(heard, words, server_hostname="127.0.0.1")
        answer, sent = b"", NAMED
        async with asyncio.timeout(ANSWER_S):
            while WELCOME not in answer:
                try:
                    talk.do_handshake()
                    if not answer:
                        talk.write(LOGIN.encode() + b"\r")
                    answer += talk.read(100)
                except ssl.SSLWantReadError:
                    writer.write(sent + words.read())
                    sent = b""
                    heard.write(await reader.read(65_536))
        writer.close()
        self.report.expect(answer == b"941\r", f"through the proxy: {answer!r}")

    # Silent connections --------------------------------------------------------------------

    async def silent(self, number: int) -> None:
        """So many that say nothing, and so many that stop in the middle, while kiosks ask."""
        kiosks = [await self.kiosk() for _ in range(KIOSKS)]
        base = resident_mib(self.gateway.pid)
        lines = [await asyncio.open_connection(*self.place(REQUIRED)) for _ in range(2 * number)]
        for _, writer in lines[number:]:
            writer.write(half_a_hello(self.known.context()))
        began = time.monotonic()
        while time.monotonic() < began + LOGIN_TIMEOUT_S / 2:
            await self.ask_all(kiosks)
        grown_kib = (resident_mib(self.gateway.pid) - base) * 1024
        self.report.numbers["KiB_each"] = round(grown_kib / (2 * number))
        self.report.expect(
            grown_kib <= SILENT_KIB_MAX * 2 * number, f"the gateway has grown by {grown_kib} KiB"
        )
        async with asyncio.timeout(LOGIN_TIMEOUT_S + SWEPT_WITHIN_S + ANSWER_S):
            for reader, writer in lines:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
        took_s = time.monotonic() - began
        self.report.expect_in_time(
            took_s <= LOGIN_TIMEOUT_S + SWEPT_WITHIN_S, f"silent lines ended after {took_s:.1f} s"
        )
        await self.ask_all(kiosks)
        for one in kiosks:
            one.close()
        self.expected["timeout"] += 2 * number

    async def kiosk(self) -> Terminal:
        """One that has logged in; each replaces nobody, for the terminal may have many lines."""
        kiosk = Terminal(
            *await asyncio.open_connection(*self.place(REQUIRED), ssl=self.known.context())
        )
        self.report.expect(await kiosk.ask(LOGIN) == "941", "a kiosk was not let in")
        return kiosk

    async def ask_all(self, kiosks: Sequence[Terminal]) -> None:
        """Each asks for the status and is answered."""
        for kiosk in kiosks:
            try:
                answer = await kiosk.ask("9900302.00")
            except (OSError, asyncio.IncompleteReadError) as error:
                answer = repr(error)
            self.asked += 1
            self.report.expect(answer.startswith("98Y"), f"a kiosk was answered {answer}")

    # Reloads -------------------------------------------------------------------------------

    async def reloads(self, number: int) -> None:
        """Change the certificate so often while kiosks ask."""
        kiosks = [await self.kiosk() for _ in range(KIOSKS)]
        seen = {await self.certificate()}
        for _ in range(number):
            self.known.renew()
            changing = asyncio.create_task(self.reload())
            while not changing.done():
                await self.ask_all(kiosks)
            await changing
            await self.ask_all(kiosks)
            seen.add(await self.certificate())
        self.report.expect(len(seen) == number + 1, f"{len(seen) - 1} of {number} were seen")
        (self.known.directory / "server.pem").write_text("nothing")
        told = await self.reload("reload_failed")
        self.report.expect("server.tls_key" in str(told["problems"]), f"the reload said {told}")
        self.report.expect(await self.certificate() in seen, "a bad certificate was taken")
        self.known.renew()
        await self.ask_all(kiosks)
        for one in kiosks:
            one.close()

    async def reload(self, event: str = "reload_done") -> dict[str, object]:
        """As `systemctl reload` does; what the log says of it."""
        number = len(self.gateway.events(event)) + 1
        self.gateway.signal(signal.SIGHUP)
        return await self.gateway.logged(event, number)

    async def certificate(self) -> str:
        """What a new line is shown."""
        host, port = self.place(OPTIONAL)
        said = await s_client(["-connect", f"{host}:{port}", *self.known.believed], login=False)
        found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END", said, re.DOTALL)
        self.report.expect(found is not None, f"no certificate in {said!r}")
        return found[0].decode() if found is not None else ""

    # The page ------------------------------------------------------------------------------

    async def numbers(self) -> None:
        """The metrics count what we have seen."""
        _, page = await self.gateway.http("/metrics")
        for reason in HANDSHAKE_REASONS:
            line = f'sip2gw_tls_handshake_failures_total{{reason="{reason}"}} '
            (value,) = (one for one in page.splitlines() if one.startswith(line))
            counted, expected = float(value.removeprefix(line)), self.expected[reason]
            self.report.expect(counted == expected, f"{reason}: {counted} and not {expected}")
        header = 'sip2gw_connections_refused_total{reason="header"} 1.0'
        self.report.expect(header in page, "the missing header is not counted")


async def s_client(options: Sequence[str], *, login: bool = True) -> bytes:
    """What openssl s_client says: the answer to a login, or about the handshake."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", *(["-quiet"] if login else []), *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(ANSWER_S):
            if not login:
                said, _ = await process.communicate(b"")
                return said
            process.stdin.write(LOGIN.encode() + b"\r")
            while not said.endswith(b"\r"):
                part = await process.stdout.read(1_000)
                if not part:
                    break
                said += part
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return said


def half_a_hello(context: ssl.SSLContext) -> bytes:
    """The first words of a handshake, without their end."""
    words = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), words).do_handshake()
    return words.read()[:-50]


async def prove(silent: int, reloads: int) -> Report:
    """All of it."""
    report = Report("tls")
    with tempfile.TemporaryDirectory() as name:
        known = Certificates(Path(name))
        config = CONFIG.replace('[server]\nlisten = ["127.0.0.1:0"]\n', SERVER).replace(
            "[terminals.kiosk-1]\n", "[terminals.kiosk-1]\nmax_connections = 0\n"
        )
        path = await prepare(Path(name), config, LIBRARY)
        async with GatewayProcess(path, keep_requests=False) as gateway:
            await gateway.start()
            proof = Proof(gateway, known, report)
            for case in cases(known):
                await proof.come(case)
            await proof.come_without_tls()
            await proof.come_through_a_proxy()
            await proof.silent(silent)
            await proof.reloads(reloads)
            await proof.numbers()
            status = await gateway.stop()
        report.expect(status == 0, f"the gateway ended with {status}")
        report.expect(not gateway.events("uncaught"), f"uncaught: {gateway.events('uncaught')}")
        report.numbers |= {"refused": proof.expected.total() - 2 * silent, "asked": proof.asked}
        report.numbers |= {"silent": 2 * silent, "reloads": reloads}
    return report


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python tests/proofs tls", description=__doc__)
    parser.add_argument("--silent", type=int, default=400, help="of each kind (default 400)")
    parser.add_argument("--reloads", type=int, default=5)
    given = parser.parse_args(arguments)
    return asyncio.run(prove(given.silent, given.reloads)).tell()
