"""Telling systemd how we are: ready, reloading, stopping, alive (sd_notify)."""

from __future__ import annotations

import os
import socket


def notify(*states: str) -> None:
    """Send `states` ("READY=1") to the service manager; does nothing without one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(states).encode(), address)
        except OSError:
            # A service manager that has gone away is no reason to stop serving.
            return


def watchdog_interval_s() -> float | None:
    """Half of the time within which systemd wants to hear of us, if it does."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isdigit() and int(text) > 0 else None
