"""A gateway whose event loop is watched: whoever holds it for long is told (C114).

    python tests/support/watched.py REPORT serve --config FILE

is `sip2gw serve`, with a name server that never answers in time, and writes into REPORT, one line
each, for how many seconds the loop was held when it was more than `HELD_MAX_S`.
"""

import sys
import threading
import time
from pathlib import Path

HELD_MAX_S = 0.05
LOOK_EVERY_S = 0.01
NAME_SERVER_S = 10.0


class Watchdog:
    """A thread that asks `loop` for a turn again and again; `held` is called with each long wait.

    What its thread waits for a processor, because others use the machine, does not count.
    """

    def __init__(self, loop, held, *, native_id=None):
        self._loop, self._held = loop, held
        self._schedstat = Path(
            f"/proc/self/task/{native_id or threading.get_native_id()}/schedstat"
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def _waited_s(self):
        return int(self._schedstat.read_text().split()[1]) / 1e9

    def _watch(self):
        while not self._ending.wait(LOOK_EVERY_S):
            turns, turn = [], threading.Event()

            def take_turn(turns=turns, turn=turn):
                turns.append(time.monotonic())
                turn.set()

            waited, asked = self._waited_s(), time.monotonic()
            try:
                self._loop.call_soon_threadsafe(take_turn)
            except RuntimeError:
                return  # the loop has been closed
            while not turn.wait(LOOK_EVERY_S):
                if self._ending.is_set():
                    return
            held = turns[0] - asked - (self._waited_s() - waited)
            if held > HELD_MAX_S:
                self._held(held)

    def stop(self):
        self._ending.set()
        self._thread.join()


def main():
    import asyncio
    import socket

    from sip2gw import app, cli

    report = Path(sys.argv.pop(1))
    run = app.App.run

    async def watched(self, on_ready):
        def ready(*addresses):
            on_ready(*addresses)
            Watchdog(asyncio.get_running_loop(), lambda s: report.open("a").write(f"{s:.3f}\n"))
            report.touch()

        return await run(self, ready)

    def look_up(*_):
        time.sleep(NAME_SERVER_S)
        raise socket.gaierror

    socket.getfqdn = socket.gethostbyaddr = look_up
    app.App.run = watched
    cli.main()


if __name__ == "__main__":
    main()
