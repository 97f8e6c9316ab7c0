"""Where a store's file lies: one daemon whatever leads there, nothing written elsewhere (C109)."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from orders import decided_by

from sip2gw.backend.base import OutcomeUnknownError, UnavailableError
from sip2gw.backend.sqlite.place import StoreInUseError
from sip2gw.backend.sqlite.store import Store, open_sqlite

from .library import NOW, content, open_library, order, pay_fee


def open_at(path: Path, role: str = "daemon") -> Store:
    return open_sqlite(path, role=role, access="make", currency="EUR")  # type: ignore[arg-type]


# Who may open it


@pytest.mark.parametrize(
    ("lead", "way"),
    [
        (lambda here: os.symlink("library.db", here / "link.db"), "link.db"),
        (lambda here: os.symlink("link.db", here / "second.db"), "second.db"),
        (lambda here: os.symlink(here, here / "there"), "there/library.db"),
        (lambda here: (here / "sub").mkdir(), "sub/../library.db"),
    ],
    ids=["a link", "a link to a link", "a linked directory", "dots"],
)
async def test_one_daemon_whatever_path_leads_there(
    lead: Callable[[Path], None], way: str, store: Store, tmp_path: Path
) -> None:
    lead(tmp_path)
    if way == "second.db":
        os.symlink("library.db", tmp_path / "link.db")
    with pytest.raises(StoreInUseError, match=f"{way}: another sip2gw serves this store"):
        open_at(tmp_path / way)
    command = open_at(tmp_path / way, "command")
    assert await command.find_patron("P1") is not None
    await command.close()
    await store.close()
    later = open_at(tmp_path / way)
    assert await later.find_patron("P1") is not None
    await later.close()


async def test_by_a_hard_link_it_would_have_a_second_log(store: Store, tmp_path: Path) -> None:
    hard = tmp_path / "hard.db"
    os.link(store.path, hard)
    for role in ("daemon", "command"):
        with pytest.raises(UnavailableError, match=r"other names too \(hard links\)"):
            open_at(hard, role)
    assert "hard.db-wal" not in os.listdir(tmp_path)
    command = open_at(store.path, "command")
    assert await command.find_patron("P1") is not None
    await command.close()
    await store.close()
    again = open_at(store.path)  # the name it was served by is still good
    assert await again.find_patron("P1") is not None
    await again.close()


async def test_a_new_store_behind_a_link_lies_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.symlink("data/library.db", tmp_path / "link.db")
    store = open_at(tmp_path / "link.db")
    assert store.path == tmp_path / "data" / "library.db"
    assert (tmp_path / "data" / "library.db.pin-secret").exists()
    await store.close()


async def test_a_secret_beside_the_link_is_found(tmp_path: Path) -> None:
    """Where it was made by versions that did not follow links."""
    store = open_library(tmp_path)
    await store.close()
    os.symlink("library.db", tmp_path / "link.db")
    (tmp_path / "library.db.pin-secret").rename(tmp_path / "link.db.pin-secret")
    store = open_at(tmp_path / "link.db")
    await store.close()


# What may become of it


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    shutil.copy(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize(
    ("happen", "told"),
    [
        (remove, "No such file or directory; the store is not where it was opened: put it back"),
        (replace, "another file has taken its place; restart the gateway"),
    ],
)
async def test_what_has_gone_or_was_replaced_is_an_unavailable_store(
    happen: Callable[[Path], None], told: str, suffix: str, store: Store
) -> None:
    await store.look()
    happen(Path(f"{store.path}{suffix}"))
    with pytest.raises(UnavailableError, match=told):
        await store.look()
    with pytest.raises(UnavailableError, match=told):
        await store.find_by_card("C1")
    with pytest.raises(UnavailableError, match=told):
        await store.ping()
    with pytest.raises(UnavailableError, match=told):
        await store.book_payment(decided_by(order(), pay_fee("F1")))
    for opened in (store.snapshot, store.own_connection):
        with pytest.raises(UnavailableError, match=told), opened():
            pass


async def test_a_link_that_leads_elsewhere_now_is_another_store(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    os.symlink("library.db", link)
    store = open_at(link)
    shutil.copy(store.path, tmp_path / "other.db")
    os.unlink(link)
    os.symlink("other.db", link)
    with pytest.raises(UnavailableError, match=r"link\.db: another file has taken its place"):
        await store.look()
    await store.close()


async def test_a_write_notices_it_before_anybody_has_looked(store: Store) -> None:
    away = store.path.with_name("away.db")
    store.path.rename(away)
    with pytest.raises(UnavailableError, match="No such file"):
        await store.book_payment(decided_by(order(), pay_fee("F1")))
    away.rename(store.path)
    await store.ping()
    assert list(store.payments()) == [], "nothing was written"


async def test_what_goes_during_the_commit_is_not_acknowledged(store: Store) -> None:
    """It was still there before: nobody knows, as if COMMIT had failed (C98)."""
    away = store.path.with_name("away.db")
    looks = iter([None, store.path])
    insist = store._place.insist

    def gone_at_the_second_look() -> None:
        path = next(looks, None)
        if path is not None:
            path.rename(away)
        insist()

    with patch.object(store._writer, "_still_there", gone_at_the_second_look):
        booking = asyncio.create_task(store.book_payment(decided_by(order(), pay_fee("F1"))))
        while not store._writer.suspect:  # noqa: ASYNC110 -- the writer tells nobody
            await asyncio.sleep(0.001)
        booking.cancel()
        with pytest.raises(OutcomeUnknownError):
            await booking
        with pytest.raises(OutcomeUnknownError, match="not settled yet"):
            await store.book_payment(decided_by(order(), pay_fee("F1")))
        away.rename(store.path)
        while store._writer.suspect:  # noqa: ASYNC110 -- the writer tells nobody
            await asyncio.sleep(0.001)
    (settled,) = await store.settle(await store.unknown_attempts(), NOW)
    assert settled.done
    assert len(list(store.payments())) == 1


async def test_an_import_into_a_file_that_has_gone_meanwhile_is_not_reported_as_done(
    store: Store,
) -> None:
    def work() -> None:
        with store.own_connection() as connection:
            connection.execute("UPDATE patron SET name = 'X'")
            replace(store.path)

    with pytest.raises(UnavailableError, match="another file has taken its place"):
        await asyncio.to_thread(work)


async def test_closing_leaves_alone_what_has_taken_its_place(store: Store, tmp_path: Path) -> None:
    """The log beside the new file belongs to that one."""
    for suffix in ("", "-wal", "-shm"):
        os.unlink(f"{store.path}{suffix}")
    other = open_at(store.path, "command")
    await store.close()
    assert "library.db-wal" in os.listdir(tmp_path)
    assert content(other)["patron"] == []
    await other.close()


async def test_a_file_that_is_there_already_is_not_opened_beside_sqlite(store: Store) -> None:
    """Closing such a descriptor would drop the locks that SQLite holds for this process."""
    opened: list[str] = []
    really_open = os.open

    def spy(path: str, *arguments: int) -> int:
        descriptor = really_open(path, *arguments)
        opened.append(str(path))
        return descriptor

    with patch("os.open", spy):
        await open_at(store.path, "command").close()
    assert str(store.path) not in opened


async def test_the_free_space_is_that_of_the_file_system_and_of_nothing_once_it_is_gone(
    store: Store,
) -> None:
    free = await store.disk_free_bytes()
    there = os.statvfs(store.path)
    assert free is not None
    assert abs(free - there.f_bavail * there.f_frsize) < 2**30, "others write there, too"
    away = store.path.with_name("away.db")
    store.path.rename(away)
    with pytest.raises(UnavailableError, match="No such file"):
        await store.disk_free_bytes()
    away.rename(store.path)
