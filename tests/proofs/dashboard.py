"""A real Prometheus scrapes a demo: each query of the dashboard gets data, the alerts are taken.

The demo plays its dialogues again and again meanwhile. Spans in the queries are shortened to what
the run lasts.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from harness import Terminal
from played import play

from sip2gw.monitoring import ALERTS, DASHBOARD, text_of

from .report import Report

SCRAPED = """\
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: sip2gw
    static_configs: [{{ targets: ["{admin}"] }}]
"""
START_S = 60


def queries():
    """What the dashboard asks for, by panel, with its variables filled in."""
    panels = [panel for panel in json.loads(text_of(DASHBOARD))["panels"] if "targets" in panel]
    for panel in panels:
        for target in panel["targets"]:
            query = target["expr"].replace("$job", ".*").replace("$instance", ".*")
            yield panel["title"], re.sub(r"\[(\$__rate_interval|\d+[hd])\]", "[20s]", query)


def asked(prometheus, path, **values):
    """What Prometheus answers."""
    url = f"http://{prometheus}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def free_address():
    """An address of this host where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.asynccontextmanager
async def program(*arguments):
    """A process that ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _announced(demo):
    """The demo's SIP2 and admin addresses, once it is ready."""
    printed = ""
    async with asyncio.timeout(START_S):
        while "health:" not in printed:
            printed += (await demo.stdout.readline()).decode()
    sip2, admin = re.search(r"SIP2 on (\S+),", printed), re.search(r"http://(\S+)/metrics", printed)
    assert sip2
    assert admin
    return sip2[1], admin[1]


async def _play_for(address, seconds):
    host, _, port = address.rpartition(":")

    async def connect():
        return Terminal(*await asyncio.open_connection(host, int(port)))

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await play(connect)
        await asyncio.sleep(0.5)


async def _judge(prometheus):
    report = Report("dashboard", {"queries": len(list(queries()))})
    for title, query in queries():
        data = await asyncio.to_thread(asked, prometheus, "query", query=query)
        report.expect(data["result"], f"no data: {title}: {query}")
    (group,) = (await asyncio.to_thread(asked, prometheus, "rules"))["groups"]
    for rule in group["rules"]:
        report.expect(rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}")
    report.numbers["alerts"] = len(group["rules"])
    report.numbers["firing"] = [rule["name"] for rule in group["rules"] if rule["alerts"]]
    return report


async def prove(directory, seconds):
    """What became of the queries and of the rules."""
    command = (sys.executable, "-m", "sip2gw", "demo", "--sip2", "127.0.0.1:0")
    async with program(*command, "--admin", "127.0.0.1:0") as demo:
        sip2, admin = await _announced(demo)
        (directory / "prometheus.yml").write_text(SCRAPED.format(admin=admin))
        (directory / ALERTS).write_text(text_of(ALERTS))
        prometheus = free_address()
        options = {
            "config.file": directory / "prometheus.yml",
            "storage.tsdb.path": directory / "data",
            "web.listen-address": prometheus,
        }
        named = (f"--{name}={value}" for name, value in options.items())
        async with program("prometheus", *named):
            await _play_for(sip2, seconds)
            return await _judge(prometheus)


def main(arguments):
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python tests/proofs dashboard", description=__doc__)
    parser.add_argument("--seconds", type=int, default=40, help="how long the demo is played")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(prove(Path(directory), wanted.seconds)).tell()
