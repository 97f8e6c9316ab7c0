"""What is answered over HTTP, without a network (B67, C130)."""

import asyncio
import gzip
import os

import pytest
from prometheus_client import ProcessCollector

from sip2gw.control.channel import GatewayGoneError
from sip2gw.control.messages import (
    Alive,
    Numbers,
    Ping,
    ReadNumbers,
    Refused,
)
from sip2gw.monitoring.metrics import FamilyMaker, Metrics
from sip2gw.web import exposition as exposition_module
from sip2gw.web import pages
from sip2gw.web.exposition import exposition
from sip2gw.web.pages import application


class Gateway:
    """Answers as it is told to, and counts how often it is asked."""

    def __init__(self, *, ready=True, numbers=None):
        self.alive = Alive(ready)
        self.numbers = numbers or Numbers(os.getpid(), FamilyMaker(Metrics()).families())
        self.asked = []
        self.silent = asyncio.Event()
        self.silent.set()

    async def ask(self, request):
        self.asked.append(type(request))
        await self.silent.wait()
        return self.alive if isinstance(request, Ping) else self.numbers


class Answer:
    def __init__(self, sent):
        start, *parts = sent
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(part.get("body", b"") for part in parts)


async def get(app, path, *, method="GET", headers=()):
    """The answer to one request."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    return Answer(sent)


@pytest.fixture
def gateway():
    return Gateway()


@pytest.fixture
def app(gateway):
    return application(gateway.ask)


async def test_a_gateway_that_answers_is_alive_and_ready(app):
    for path in ("/livez", "/readyz"):
        answer = await get(app, path)
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert (await get(app, path, method="HEAD")).status == 200


async def test_one_that_is_not_ready_is_alive(gateway):
    gateway.alive = Alive(ready=False)
    app = application(gateway.ask)
    assert (await get(app, "/livez")).status == 200
    answer = await get(app, "/readyz")
    assert (answer.status, answer.body) == (503, b"not ready\n")


async def test_one_that_does_not_answer_in_time_is_neither(app, gateway, monkeypatch):
    monkeypatch.setattr(pages, "LIVE_WITHIN_S", 0.02)
    monkeypatch.setattr(pages, "NUMBERS_WITHIN_S", 0.02)
    gateway.silent.clear()
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await get(app, path)).status == 503
    assert gateway.asked == [Ping, ReadNumbers]  # and nobody asks again meanwhile
    gateway.silent.set()
    await asyncio.sleep(0)
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await get(app, path)).status == 200


async def test_one_that_has_gone_is_neither():
    async def ask(request):
        raise GatewayGoneError

    app = application(ask)
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await get(app, path)).status == 503


async def test_one_that_says_something_else_is_neither(gateway):
    gateway.alive = gateway.numbers = Refused("too many talk to the gateway already")
    app = application(gateway.ask)
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await get(app, path)).status == 503


async def test_metrics_are_text_for_prometheus(app):
    answer = await get(app, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE sip2gw_http_restarts_total counter\n" in answer.body
    assert b'\nsip2gw_frames_rejected_total{reason="checksum"} 0.0\n' in answer.body


async def test_the_system_is_asked_about_the_gateway_and_not_about_us():
    gateway = Gateway(numbers=Numbers(os.getppid(), []))
    answer = await get(application(gateway.ask), "/metrics")
    ours, _ = exposition([], os.getpid())
    started = b"process_start_time_seconds"
    assert started in answer.body
    assert started in ours
    assert answer.body != ours


def test_the_system_is_asked_where_nothing_but_processes_is_to_be_seen(tmp_path):
    """systemd's `ProcSubset=pid`, which our service has: `/proc/stat` is missing."""
    (tmp_path / "self").symlink_to("/proc/self")

    def shown(collector):
        return {one.name: one.samples[0].value for one in collector.collect()}

    here = shown(exposition_module._Process(proc=str(tmp_path), registry=None))
    everywhere = shown(ProcessCollector(registry=None))
    assert here.keys() == everywhere.keys()
    started = "process_start_time_seconds"
    assert here[started] == pytest.approx(everywhere[started], abs=2)


async def test_who_takes_it_packed_or_as_openmetrics_gets_it_so(app):
    packed = await get(app, "/metrics", headers=[("accept-encoding", "gzip, br")])
    assert packed.headers["content-encoding"] == "gzip"
    assert b"sip2gw_logins_total" in gzip.decompress(packed.body)
    accept = ("accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    modern = await get(app, "/metrics", headers=[accept])
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept", ["text/plain;version=x", "application/openmetrics-text;version=;;=", "\xff" * 100]
)
async def test_whatever_is_accepted_something_is_answered(app, accept):
    assert (await get(app, "/metrics", headers=[("accept", accept)])).status == 200


async def test_a_busy_page_asks_the_gateway_once(app, gateway):
    await asyncio.gather(*(get(app, "/metrics") for _ in range(10)))
    await get(app, "/metrics")
    assert gateway.asked == [ReadNumbers]


async def test_and_again_when_the_numbers_are_old(gateway, monkeypatch):
    monkeypatch.setattr(pages, "NUMBERS_FRESH_S", 0.0)
    app = application(gateway.ask)
    first = await get(app, "/metrics")
    counting = Metrics()
    counting.pin_locks = 1
    gateway.numbers = Numbers(os.getpid(), FamilyMaker(counting).families())
    second = await get(app, "/metrics")
    assert b"sip2gw_pin_locks_total 0.0" in first.body
    assert b"sip2gw_pin_locks_total 1.0" in second.body


@pytest.mark.parametrize("path", ["/", "/metrics/", "/nothing", "/livez/x", "/../etc/passwd"])
async def test_other_paths_are_not_there(app, path):
    answer = await get(app, path)
    assert (answer.status, answer.body) == (404, b"/metrics /livez /readyz\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "\xa1"])
async def test_nothing_is_changed_over_http(app, method):
    answer = await get(app, "/metrics", method=method)
    assert (answer.status, answer.body) == (405, b"only GET and HEAD are allowed\n")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "header", [("content-length", "1"), ("content-length", "x"), ("transfer-encoding", "chunked")]
)
async def test_nobody_brings_anything(app, header):
    assert (await get(app, "/metrics", headers=[header])).status == 413
    assert (await get(app, "/metrics", headers=[("content-length", "0")])).status == 200


async def test_so_many_are_answered_at_a_time_and_the_next_one_is_told_to_come_later(app, gateway):
    gateway.silent.clear()
    slow = [asyncio.create_task(get(app, "/metrics")) for _ in range(pages.REQUESTS_MAX)]
    await asyncio.sleep(0)
    busy = await get(app, "/metrics")
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")
    gateway.silent.set()
    assert [answer.status for answer in await asyncio.gather(*slow)] == [200] * len(slow)
    assert (await get(app, "/metrics")).status == 200


@pytest.mark.parametrize("path", pages.PROBES)
async def test_whether_it_lives_is_told_however_many_scrape(app, gateway, path):
    gateway.silent.clear()
    slow = [asyncio.create_task(get(app, "/metrics")) for _ in range(pages.REQUESTS_MAX)]
    asking = [asyncio.create_task(get(app, path)) for _ in range(pages.REQUESTS_MAX + 1)]
    await asyncio.sleep(0)
    gateway.silent.set()
    assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * len(asking)
    await asyncio.gather(*slow)
