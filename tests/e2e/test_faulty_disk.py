"""The disk that the proof faults lets fail does what it says, to the files that it means."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from faulty_disk import Hits, build

WRITE = """
import os, sqlite3, sys
def told(what):
    try:
        what()
    except (OSError, sqlite3.Error) as error:
        return f"{error}"
    return "ok"
store = sqlite3.connect(sys.argv[1], isolation_level=None)
print(told(lambda: store.execute("INSERT INTO paid VALUES (zeroblob(100000))")))
spool = os.open(sys.argv[1] + ".spool", os.O_RDWR | os.O_CREAT | os.O_DSYNC)
print(told(lambda: os.pwrite(spool, b"in place", 0)))
print(told(lambda: os.pwrite(spool, b"longer", 8)))
"""
EIO, ENOSPC = "[Errno 5] Input/output error", "[Errno 28] No space left on device"


@pytest.fixture
def disk(tmp_path):
    made = build(tmp_path)
    if made is None:
        pytest.skip("gcc compiles what makes the disk fail")
    with made:
        yield made


@pytest.fixture
def write(tmp_path, disk):
    """Writes to a store and its spool in a process on that disk; what became of each write."""
    path = tmp_path / "library.db"
    store = sqlite3.connect(path, isolation_level=None)  # open: the log and its index are there
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("CREATE TABLE paid (amount)")
    (tmp_path / "library.db.spool").write_bytes(bytes(8))

    def write():
        return subprocess.run(
            [sys.executable, "-c", WRITE, str(path)],
            env={**os.environ, **disk.environment},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout.splitlines()

    yield write
    store.close()


def test_nothing_fails_unless_told(disk, write):
    assert write() == ["ok", "ok", "ok"]
    assert disk.store.hits == disk.spool.hits == Hits(0, 0, 0)


def test_flushes_of_the_store_alone(disk, write):
    disk.store.fail(flush=True)
    assert write() == ["disk I/O error", "ok", "ok"]
    assert disk.store.hits.flushes_failed
    disk.heal()
    assert write() == ["ok", "ok", "ok"]


def test_flushes_of_the_spool_alone(disk, write):
    disk.spool.fail(flush=True)
    assert write() == ["ok", EIO, EIO]
    assert disk.spool.hits == Hits(2, 0, 0)


def test_a_full_disk_lets_files_be_overwritten(disk, write):
    disk.store.fail(full=True)
    disk.spool.fail(full=True)
    assert write() == ["database or disk is full", "ok", ENOSPC]
    assert disk.spool.hits == Hits(0, 1, 0)


def test_a_slow_disk(disk, write):
    disk.store.fail(delay_s=0.2)
    begun = time.monotonic()
    assert write() == ["ok", "ok", "ok"]
    assert time.monotonic() - begun >= 0.2 * disk.store.hits.flushes_delayed > 0


READ = """
import sqlite3, sys, time
store = sqlite3.connect(sys.argv[1])
for _ in range(2):
    began = time.monotonic()
    store.execute("SELECT COUNT(*) FROM paid").fetchone()
    print(time.monotonic() - began > 0.2)
    other = sqlite3.connect(sys.argv[1])  # whose own memory is empty, unlike the kernel's
    store.close()
    store = other
"""


def test_a_page_is_slow_once(tmp_path, disk, write):
    with closing(sqlite3.connect(tmp_path / "library.db")) as store:
        store.execute("PRAGMA wal_checkpoint")
    disk.store.cool(0.2)
    command = [sys.executable, "-c", READ, str(tmp_path / "library.db")]
    environment = {**os.environ, **disk.environment}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.split() == ["True", "False"]
    assert disk.store.hits.pages_delayed
