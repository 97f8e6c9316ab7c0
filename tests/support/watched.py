"""A gateway whose event loop is watched: whoever holds it for long is told (C114).

    python tests/support/watched.py REPORT NAMES serve --config FILE

is `sip2gw serve`, and adds to REPORT a line each time that the loop was held for more than
`HELD_MAX_S`: for how many seconds, and where. NAMES is `names`, or `no-names` for a name server
that never answers in time.
"""

import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HELD_MAX_S = 0.05
LOOK_EVERY_S = 0.01
NAME_SERVER_S = 10.0
FRAMES_TOLD = 8
ROOT = Path(__file__).parents[2]


def program(report, *, names=True):
    """What Python runs instead of `-m sip2gw`."""
    return (str(Path(__file__)), str(report), "names" if names else "no-names")


class Account(NamedTuple):
    """What a thread has done since it began."""

    at: float
    """By the monotonic clock."""
    ran_s: float
    ready_s: float
    """It could have run, but others had the processors."""
    waits: int
    """How often it waited for anything else."""

    def since(self, before):
        return Account(*(now - then for now, then in zip(self, before, strict=True)))

    @property
    def blocked_s(self):
        """It waited for something that may be the interpreter lock.

        Whoever waits for that lock wakes up after each switch interval and waits anew, so each
        wait of a thread may have been for it, and has taken so long at most, and a little for
        waking up. A wait for anything else goes on and on, and is one.
        """
        waited = self.at - self.ran_s - self.ready_s
        return max(0.0, waited - self.waits * 1.2 * sys.getswitchinterval())


class ThreadAccounts:
    """The accounts of one thread, for whichever thread looks.

    The files stay open, for the process may run out of descriptors while it is watched.
    """

    def __init__(self, thread):
        task = Path("/proc/self/task") / str(thread.native_id)
        self._clock = time.pthread_getcpuclockid(thread.ident)
        self._schedstat = os.open(task / "schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open(task / "status", os.O_RDONLY | os.O_CLOEXEC)

    def look(self):
        status = os.pread(self._status, 8192, 0)
        _, _, waits = status.partition(b"\nvoluntary_ctxt_switches:")
        return Account(
            time.monotonic(),
            time.clock_gettime(self._clock),
            int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9,
            int(waits.split(maxsplit=1)[0]),
        )

    def close(self):
        os.close(self._schedstat)
        os.close(self._status)


class OtherThreads:
    """How long the threads of this process but one were ready and did not get a processor."""

    def __init__(self, thread):
        self._but = str(thread.native_id)
        self._files = {}
        self._ready = {}

    def ready_s(self):
        with suppress(OSError):  # no descriptors are left: those that are known
            for task in set(os.listdir("/proc/self/task")) - {self._but, *self._ready}:
                name = f"/proc/self/task/{task}/schedstat"
                self._files[task] = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
                self._ready[task] = 0.0
        for task, file in list(self._files.items()):
            try:
                self._ready[task] = int(os.pread(file, 100, 0).split()[1]) / 1e9
            except OSError:  # it has ended
                os.close(self._files.pop(task))
        return sum(self._ready.values())

    def close(self):
        for file in self._files.values():
            os.close(file)


class Machine:
    """What the machine itself was not given by those who run it."""

    def __init__(self):
        self._stat = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")

    def stolen_s(self):
        """Of all its processors, since it began."""
        return int(os.pread(self._stat, 1000, 0).split(maxsplit=9)[8]) * self._tick_s

    def close(self):
        os.close(self._stat)


class Watchdog:
    """A thread that asks `loop`, of the thread that makes it, for a turn again and again.

    `held` is called with each long hold and where the loop was. What counts is what the loop's
    thread did from the question to the turn:

    - it ran: all of that, by its own processor time, however busy the machine is;
    - it was blocked: but for what may be waits for the interpreter lock (`Account.blocked_s`);
    - it was ready, and others used the processors: nothing of that;
    - nor of the time when other threads of ours were: who lets go of the interpreter lock for one
      that wants it waits until that one has it, so until that one gets a processor.

    A machine that is stopped as a whole, or this process with SIGSTOP, stops the watchdog's thread
    too: what that came too late, for another reason than those three, is no hold. Nor is what the
    host took from the machine's processors, which looks as if the thread had run.

    A thread of ours that keeps the interpreter lock for long is not found: it looks like a machine
    on which whoever has the lock does not get a processor.
    """

    def __init__(self, loop, held):
        self._loop, self._held = loop, held
        self._loop_thread = threading.current_thread()
        self._accounts = ThreadAccounts(self._loop_thread)
        self._machine = Machine()
        self._others = OtherThreads(self._loop_thread)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def _watch(self):
        self._own = ThreadAccounts(self._thread)
        try:
            while not self._ending.wait(LOOK_EVERY_S) and self._ask():
                pass
        finally:
            for opened in (self._accounts, self._own, self._machine, self._others):
                opened.close()

    def _ask(self):
        """Wait for one turn; whether to go on."""
        turns, turn = [], threading.Event()

        def take_turn():
            turns.append(self._accounts.look())
            turn.set()

        stolen, ready = self._machine.stolen_s(), self._others.ready_s()
        own, before = self._own.look(), self._accounts.look()
        try:
            self._loop.call_soon_threadsafe(take_turn)
        except RuntimeError:
            return False  # the loop has been closed
        planned_s, where = 0.0, ""
        while not turns:
            turn.wait(LOOK_EVERY_S)
            planned_s += LOOK_EVERY_S
            if self._ending.is_set() and not turns:
                return False
            if not where and not turns and time.monotonic() - before.at > HELD_MAX_S / 2:
                where = self._where()
        did = turns[0].since(before)
        late_s = max(0.0, self._own.look().since(own).blocked_s - planned_s)
        others_s = self._others.ready_s() - ready
        held = did.ran_s + max(0.0, did.blocked_s - late_s - others_s)
        held -= self._machine.stolen_s() - stolen
        if held > HELD_MAX_S:
            self._held(held, where or "where is not known")
        return True

    def _where(self):
        """The innermost calls of the loop's thread, on one line."""
        frame = sys._current_frames().get(self._loop_thread.ident or 0)
        calls = traceback.extract_stack(frame)[-FRAMES_TOLD:]
        return " > ".join(
            f"{call.filename.removeprefix(f'{ROOT}/')}:{call.lineno} {call.name}" for call in calls
        )

    def end(self):
        """From now on the loop may be held."""
        self._ending.set()

    def stop(self):
        """End, and wait until nothing more will be told."""
        self.end()
        self._thread.join()


def main():
    import asyncio
    import socket

    from sip2gw import cli
    from sip2gw.daemon import app

    report = Path(sys.argv.pop(1))
    names = sys.argv.pop(1)
    run = app.App.run

    def tell(seconds, where):
        with report.open("a") as file:
            file.write(f"{seconds:.3f} {where}\n")

    async def watched(self, on_ready):
        watchdogs = []

        def ready(*addresses):
            on_ready(*addresses)
            watchdogs.append(Watchdog(asyncio.get_running_loop(), tell))
            report.touch()

        try:
            return await run(self, ready)
        finally:  # nobody is served any more
            for watchdog in watchdogs:
                watchdog.end()

    def look_up(*_):
        time.sleep(NAME_SERVER_S)
        raise socket.gaierror

    if names == "no-names":
        socket.getfqdn = socket.gethostbyaddr = look_up
    app.App.run = watched  # type: ignore[method-assign]
    cli.main()


if __name__ == "__main__":
    main()
