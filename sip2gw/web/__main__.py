"""`python -m sip2gw.web LISTENER GATEWAY PARENT`: the process for HTTP, as the gateway starts it.

LISTENER and GATEWAY are numbers of inherited descriptors: the listening socket and the connection
to the gateway, which also tells REST the configuration. PARENT is the gateway's process. The log
goes to standard error, and the gateway copies it into its own log.

What takes long to import is imported late: until `end_with` is called, this process would go on
listening after a gateway that was killed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from sip2gw.foundation.children import end_with
from sip2gw.foundation.priority import step_back

if TYPE_CHECKING:
    from sip2gw.monitoring.telemetry import Log


def main(listener: int, gateway: int) -> int:
    """Serve until the gateway has gone; returns the exit status."""
    from sip2gw.monitoring.telemetry import Redactor, open_log

    # A random secret will do: this process never logs a card.
    log = open_log(Redactor(os.urandom(32)), level="debug", log_format="json")
    try:
        with socket.socket(fileno=listener) as clients, socket.socket(fileno=gateway) as line:
            return _serve(clients, line, log)
    finally:
        log.close()


def _serve(clients: socket.socket, gateway: socket.socket, log: Log) -> int:
    try:
        # Imported here, so that a missing package is logged like any other failure.
        import asyncio

        from sip2gw.web.serving import serve

        asyncio.run(serve(clients, gateway, log))
    except Exception as error:
        if isinstance(error, ImportError):
            error.add_note(f"cannot import {error.name}")
        log.events.critical("crashed", exc_info=error)
        return 1
    return 0


if __name__ == "__main__":
    # systemd sends its signals to both processes, but this one must end with the gateway.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_with(int(sys.argv[3]))
    step_back()
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
