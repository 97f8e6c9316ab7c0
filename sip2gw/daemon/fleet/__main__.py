"""`python -m sip2gw.daemon.fleet NUMBER ACCESS LINK CONTROL CONFIG`: a worker of a gateway.

The last three are numbers of inherited descriptors: the link to the parent, the channel for
operators' requests, and the configuration in force.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import cast

from sip2gw.backend.base import Access


def main(number: str, access: str, link: str, control: str, config: str) -> int:
    """Serve terminals until the parent says that it is enough, or has gone; the exit status."""
    # Signals reach the whole group or service; what follows from them, the parent says.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    from sip2gw.config.passing import read_config
    from sip2gw.daemon.fleet.worker import serve

    return serve(
        int(number),
        cast("Access", access),
        link=socket.socket(fileno=int(link)),
        control=socket.socket(fileno=int(control)),
        config=read_config(int(config)),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
