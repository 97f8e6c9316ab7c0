"""A gateway of the demo as a process of its own: `python -m sip2gw.demo.gateway CONFIG`.

Its standard input is a pipe from the demo, which nobody writes to. When the demo has ended, however
that came about, the pipe ends, and so does the gateway.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

import sip2gw
from sip2gw.daemon.signals import noted_early

STOP_WITHIN_S = 20.0


class GatewayProcess:
    """The process, as the demo sees it. It runs until the end of the context."""

    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration
        self._process = _started(configuration)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ready(self) -> tuple[str, str] | None:
        """Wait until it serves terminals; returns its addresses for them and for HTTP.

        None: it has ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return msgspec.json.decode(line, type=tuple[str, str]) if line else None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def restart(self) -> None:
        """Start it again."""
        self._stop()
        self._process = _started(self._configuration)

    def _stop(self) -> None:
        """Let it finish what it does, and wait until it has ended."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _started(configuration: Path) -> subprocess.Popen[bytes]:
    path = [str(Path(sip2gw.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(  # noqa: S603 -- this very program
        [sys.executable, "-P", "-m", "sip2gw.demo.gateway", str(configuration)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C must reach only the demo, which then stops both gateways in order.
        process_group=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )


def main(configuration: Path) -> int:
    """Serve terminals until the demo has ended; returns the exit status."""
    # Imported here: it takes a while, and signals may arrive in the meantime.
    from sip2gw.config import load_config
    from sip2gw.daemon.app import serve

    threading.Thread(target=_leave_with_the_demo, daemon=True).start()
    return serve(load_config(configuration), _tell)


def _tell(addresses: list[str], admin: str) -> None:
    sys.stdout.buffer.write(msgspec.json.encode((addresses[0], admin)) + b"\n")
    sys.stdout.buffer.flush()


def _leave_with_the_demo() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    with noted_early():
        sys.exit(main(Path(sys.argv[1])))
