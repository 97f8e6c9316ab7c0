"""A store whose COMMITs wait or fail as a test says."""

import asyncio
import sqlite3
import threading


class SlowDisk:
    """Stands between a store's writer and its connection."""

    def __init__(self, store):
        self._connection = store._writer._connection
        self._execute = self._connection.execute
        self._connection.execute = self._run
        self._go = threading.Event()
        self._go.set()
        self._reached = threading.Event()
        self.failing = False
        self.fails_although_done = False
        """A COMMIT fails, but it was done, as far as whoever opens the file later can see."""

        self._waits = self._books = False
        """Whether the transaction has begun since `hold`, and is more than a note of the gateway's
        own, which comes when a second is over: who was active, which terminals were heard."""

    def _run(self, statement, *values):
        if statement.startswith("BEGIN"):
            self._waits, self._books = not self._go.is_set(), False
        elif statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE", "WITH")):
            self._books = True
        if statement == "COMMIT":
            if self._waits and self._books:
                self._reached.set()
                self._go.wait()
            if self.failing:
                raise sqlite3.OperationalError("disk I/O error")
            if self.fails_although_done:
                self._execute(statement)
                raise sqlite3.OperationalError("disk I/O error")
        return self._execute(statement, *values)

    def hold(self):
        """The COMMIT of the next transaction takes until `release`."""
        self._reached.clear()
        self._go.clear()

    def release(self):
        self._go.set()

    async def committing(self):
        """Wait until a COMMIT has begun since `hold`."""
        assert await asyncio.to_thread(self._reached.wait, 10)
        await asyncio.sleep(0)
