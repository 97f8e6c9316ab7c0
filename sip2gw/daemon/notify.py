"""Telling systemd how we are: ready, reloading, stopping, alive (sd_notify), without waiting.

A service manager that does not read its socket fills it within a few messages, and a blocking send
would then stop every terminal (C114).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

RETRY_S = 1.0
"""Seconds after which an undelivered state is tried again."""


class ServiceManager:
    """Who started us and wants to hear how we are, if anybody does.

    Args:
        environment: `NOTIFY_SOCKET` says where it listens, `WATCHDOG_USEC` how often it wants to
            hear of us.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._untold = ""
        """The last state that could not be told; what it would have replaced is of no interest."""
        self._watched = False
        self.interval_s: float | None = None
        """Seconds between calls of `tell_alive`; None when nobody listens."""
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._listen_to(environment.get("WATCHDOG_USEC", ""))

    def _listen_to(self, watchdog_usec: str) -> None:
        self._watched = watchdog_usec.isdecimal() and int(watchdog_usec) > 0
        # Twice within its time, and often enough for what could not be told at once.
        self.interval_s = min(int(watchdog_usec) / 2e6, RETRY_S) if self._watched else RETRY_S

    def tell(self, state: str) -> None:
        """Say "READY=1", "RELOADING=1" or "STOPPING=1", now or as soon as it is listened to."""
        self._untold = "" if self._send(state) else state

    def tell_alive(self) -> None:
        """Say that we live, if that is watched, and what could not be told before."""
        if self._untold:
            self.tell(self._untold)
        if self._watched:
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> bool:
        """Whether there is nothing to try again."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:
            # Not read, or gone: no reason to stop serving. It may come back.
            return False
        return True

    def close(self) -> None:
        """Stop reporting."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
