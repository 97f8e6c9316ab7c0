"""Starts a program as systemd's socket activation does: `activated.py DESCRIPTORS PROGRAM …`.

DESCRIPTORS are numbers of inherited sockets, separated by commas. PROGRAM finds them as 3 and after
it, and is told so by the environment (sd_listen_fds(3)).
"""

import fcntl
import os
import sys

ABOVE = 100
"""Copies up here are in nobody's way."""


def main(descriptors: str, *program: str) -> None:
    copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, ABOVE) for number in descriptors.split(",")]
    for place, copy in enumerate(copies, 3):
        os.dup2(copy, place)
        os.close(copy)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)))
    os.execv(sys.executable, [sys.executable, *program])


if __name__ == "__main__":
    main(*sys.argv[1:])
