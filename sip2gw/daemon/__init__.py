"""The gateway as a process: put together, reloaded, watched by systemd, and brought to its end."""
