"""Tells systemd our state (ready, reloading, stopping, alive) by sd_notify, without waiting.

If the service manager does not read its socket, a few messages fill it. A blocking send would then
stop every terminal (C114).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

_SYSTEMD = "systemd has started it; restart it with `systemctl restart`"

RETRY_S = 1.0
"""Seconds after which an undelivered state is sent again."""


class ServiceManager:
    """The service manager that started us, if there is one.

    Args:
        environment: `NOTIFY_SOCKET` says where it listens, `WATCHDOG_USEC` how often it expects a
            sign of life.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._untold = ""
        """The last undelivered state; earlier ones no longer matter."""
        self._watched = False
        self.supervises = environment.get("SYSTEMD_EXEC_PID") == str(os.getpid())
        """Whether systemd has started this very process, and takes its end for the service's."""
        self.interval_s: float | None = None
        """Seconds between calls of `tell_alive`; None: nobody listens."""
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._listen_to(environment.get("WATCHDOG_USEC", ""))

    @property
    def supervisor(self) -> str:
        """Who starts this process again and must not lose sight of it; empty: nobody."""
        return _SYSTEMD if self.supervises else ""

    def _listen_to(self, watchdog_usec: str) -> None:
        self._watched = watchdog_usec.isdecimal() and int(watchdog_usec) > 0
        # Twice in the watchdog's time, and often enough to resend an undelivered state.
        self.interval_s = min(int(watchdog_usec) / 2e6, RETRY_S) if self._watched else RETRY_S

    def tell(self, state: str) -> None:
        """Send "READY=1", "RELOADING=1" or "STOPPING=1", now or as soon as the socket takes it."""
        self._untold = "" if self._send(state) else state

    def tell_alive(self) -> None:
        """Send an undelivered state again, and a sign of life if systemd expects one."""
        if self._untold:
            self.tell(self._untold)
        if self._watched:
            self._send("WATCHDOG=1")

    def keep_alive(self) -> None:
        """Call `tell_alive` from now on as long as the loop takes its turns."""
        if self.interval_s is not None and self._socket is not None:
            self.tell_alive()
            asyncio.get_running_loop().call_later(self.interval_s, self.keep_alive)

    def _send(self, state: str) -> bool:
        """Whether nothing needs to be sent again."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:
            # It does not read, or has gone. That is no reason to stop; it may come back.
            return False
        return True

    def close(self) -> None:
        """Stop reporting."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
