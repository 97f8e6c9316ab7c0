"""The lines of several processes on one standard error: whole, and each says whose it is (B87)."""

import io
import json
import select

import pytest

from sip2gw.monitoring.telemetry import Log, Redactor, RequestLine


class Pipe(io.BytesIO):
    """What several processes write to; it knows each write."""

    def __init__(self):
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, text):
        self.writes.append(bytes(text))
        return super().write(text)


def logged(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def request(log):
    return RequestLine("now", "request", "info", 1, "kiosk-1", "63", "ok", 10, worker=log.worker)


@pytest.mark.parametrize("worker", [None, 0, 3])
def test_each_line_names_the_worker_if_there_are_several(worker):
    stream = Pipe()
    log = Log(stream, Redactor(b"x" * 32), worker=worker)
    log.events.info("login", terminal="kiosk-1")
    log.request(request(log))
    log.configure("info", console=False)
    log.events.info("reload_done")
    log.close()
    assert [line["event"] for line in logged(stream)] == ["login", "request", "reload_done"]
    assert [line.get("worker") for line in logged(stream)] == [worker] * 3
    assert worker is not None or all("worker" not in line for line in logged(stream))


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_written_at_once_is_whole_lines_that_a_pipe_takes_whole(shared):
    stream = Pipe()
    log = Log(stream, Redactor(b"x" * 32), shared=shared)
    for number in range(300):
        log.events.info("event", number=number, text="x" * (number % 90))
    log.events.info("long", text="y" * 2 * select.PIPE_BUF)
    log.events.info("last")
    log.close()
    assert [line.get("number") for line in logged(stream)] == [*range(300), None, None]
    written = [text for text in stream.writes if text]
    assert all(text.endswith(b"\n") for text in written)
    pieces = [text for text in written if b'"long"' not in text]
    if shared:
        assert len(pieces) > 5
        assert max(map(len, pieces)) <= select.PIPE_BUF
    else:
        assert len(written) < 5  # one write costs less
