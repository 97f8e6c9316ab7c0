"""The gateway as a process: assembled, reloaded, watched by systemd, and ended."""
