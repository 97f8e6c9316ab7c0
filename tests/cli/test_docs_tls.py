"""The page on TLS is played: its authority, its configuration, its commands, its renewal.  (B88)"""

import asyncio
import re
import shlex
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from harness import running

from sip2gw.config import load_config

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
BASE = """
[institution]
id = "HUB"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
"""


def marked(page: str, mark: str) -> list[str]:
    """The blocks of a page under `<!-- mark -->`."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"<!-- {mark} -->\n```\w*\n(.*?)```", text, re.DOTALL)


def with_base(block: str) -> str:
    """A configuration of a page with what it leaves out, on any port, with a password."""
    return BASE + re.sub(r"(127\.0\.0\.1|0\.0\.0\.0):\d+", r"\1:0", block).replace("…", "pw")


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """What the five commands make, in the current directory."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    monkeypatch.chdir(tmp_path)
    commands = marked("tls", "run")[0]
    done = subprocess.run(["sh", "-e"], input=commands, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "sip2-authority"
    monkeypatch.chdir(directory)
    return directory


def shown_on(port: int) -> int:
    """The serial number of the certificate that is shown there."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=pem, text=True, capture_output=True
    )
    return int(said.stdout.partition("=")[2], 16)


async def test_the_page_works_as_it_says(sip2gw, authority):
    config = with_base(marked("tls", "configuration")[0])
    async with running(authority, config=config) as gateway:
        port = int(gateway.app.acceptor.addresses[1].rpartition(":")[2])
        there = marked("tls", "run")[1].replace("6443", str(port)).replace("…", "pw")
        commands = [shlex.split(line)[1:] for line in there.splitlines()]
        assert len(commands) == 4
        for command in commands[1:]:
            options = ("--config", authority / "sip2gw.toml")
            result = await asyncio.to_thread(sip2gw, command[0], *command[1:], *options)
            assert result.status == 0, result.err
        assert gateway.metrics.logins == {"ok": 2}
        before = await asyncio.to_thread(shown_on, port)
        renewal, reload = marked("tls", "run")[2].splitlines()
        assert reload == "sip2gw reload"
        await asyncio.to_thread(subprocess.run, shlex.split(renewal), check=True)
        await gateway.app.reload()
        assert await asyncio.to_thread(shown_on, port) != before


@pytest.mark.parametrize(("page", "number"), [("tls", 0), ("tls", 1), ("several-gateways", 0)])
def test_configurations_on_the_pages_are_valid(authority, page, number):
    file = authority / "page.toml"
    file.write_text(with_base(marked(page, "configuration")[number]))
    (authority / "postgres.password").write_text("pw")
    assert load_config(file).listeners


@pytest.mark.parametrize(("page", "number"), [("tls", 1), ("several-gateways", 0)])
def test_the_balancer_sends_where_the_gateway_listens_and_says_who_comes(page, number):
    gateway, (balancer,) = marked(page, "configuration")[number], marked(page, "haproxy")
    (port,) = re.findall(r'address = "[\d.]+:(\d+)", tls = true, proxy = true', gateway)
    servers = re.findall(r"^    server \w+ [\d.]+:(\d+)", balancer, re.MULTILINE)
    assert set(servers) == {port}
    assert "send-proxy-v2" in balancer
    idle_min = int(re.findall(r"timeout client (\d+)m", balancer)[0])
    assert idle_min * 60 > 600, "longer than the default of server.idle_timeout_s"
