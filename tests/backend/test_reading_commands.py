"""Commands that read change nothing, whatever they find (B70, C135)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from orders import decided_by
from postgres import Server
from typer.testing import CliRunner

from sip2gw.backend.base import BackendError
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import address
from sip2gw.backend.postgres.address import Address
from sip2gw.backend.postgres.session import Session
from sip2gw.backend.postgres.store import session_at
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sqlite import database
from sip2gw.backend.sqlite.reading import ReadingPlace
from sip2gw.cli.access import OPENS
from sip2gw.cli.app import app
from sip2gw.config import load_config
from sip2gw.model import Block, BlockType
from sip2gw.staff.actions import ACTIONS

from .library import LIBRARY, NOW, load, open_library, open_postgres_library, order, pay_fee
from .test_reviews import noted
from .test_support import PLAIN_DAYS

CONFIG = """\
[institution]
id = "HUB"
name = "Hub"
currency = "EUR"
[store]
url = "{url}"
[branches.MAIN]
[profiles.entrance]
kind = "door"
[profiles.kiosk]
kind = "selfcheck"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "pw"
networks = ["127.0.0.0/8"]
[terminals.door-1]
profile = "entrance"
branch = "MAIN"
password = "pw"
networks = ["127.0.0.0/8"]
"""

READING: dict[str, str] = {
    "token list": "",
    "audit": "",
    "check": "",
    "export": "",
    "explain": "--terminal kiosk-1 --card C1 --item I2",
    "maintain": "--dry-run",
    "patron show": "C1",
    "patron report": "C1",
    "patron find": "Maes",
    "patron merge": "P3 P1 --dry-run",
    "badge list": "",
    "badge assign": "ONBE P3 --dry-run",
    "badge report": "ONBE",
    "badge history": "",
    "relationship list": "",
    "membership list": "",
    "membership show": "201",
    "payment list": "",
    "payment show": "PAYMENT",
    "payment totals": "",
    "payment reconcile": "",
    "payment refused": "",
    "payment export": "--pending",
    "review list": "",
    "review show": "REVIEW",
    "support list": "",
    "support show": "1",
    "support table list": "type",
    "outbox list": "",
    "door log": "",
    "door stats": "",
    "door inside": "--branch MAIN --from 2026-03-01 --to 2026-03-31",
    "door reveals": "",
    "branch list": "",
    "door bar list": "",
    "door pass list": "",
    "observe report": "",
    "upstream journal": "",
}
"""Every command that reads, with what it needs."""


def test_every_reading_command_is_tried() -> None:
    reading = {
        words for words, opens in OPENS.items() if "read" in (opens.access, *opens.given.values())
    }
    # A backup reads in a way of its own, an older store as well: see tests/cli/test_backup.py.
    assert reading == set(READING) | {"backup"}


def test_what_each_command_may_do_is_declared() -> None:
    """And nothing is declared that is no command, or hangs on an option that it does not have."""
    found = dict(leaves("", typer.main.get_command(app)))
    assert set(found) == set(OPENS)
    for words, opens in OPENS.items():
        assert set(opens.given) <= {param.name for param in found[words].params}, words


def leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """All commands below `command` that do something, by their words."""
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(f"{words} {name}".strip(), below)
    if not hasattr(command, "commands"):
        yield words, command


@dataclass
class Scene:
    """A store that something may be wrong with."""

    config: Path
    content: Callable[[], Any]
    """All of it, to be compared."""
    rows: Callable[[], tuple[Any, int]]
    """Those of all tables but the audit log, and how many that has."""
    ids: dict[str, str]
    """What stands for PAYMENT and REVIEW in the arguments."""
    database: str = ""
    """Its name, if the store is in PostgreSQL."""

    def run(self, words: str) -> Any:
        """A reading command and what became of it."""
        return self.call(f"{words} {READING[words]}")

    def call(self, words: str) -> Any:
        """Any command and what became of it."""
        arguments = [self.ids.get(word, word) for word in words.split()]
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])


def all_refuse(scene: Scene, problem: str, *, check_warns: bool = False) -> None:
    """No reading command works; each says why, and none changes anything."""
    with unchanged(scene):
        for words in READING:
            result = scene.run(words)
            warns = check_warns and words == "check"
            assert result.exit_code == (0 if warns else 1), (words, result.output)
            assert problem in result.output, (words, result.output)


def all_work(scene: Scene) -> None:
    """All reading commands work, and none changes anything: those that show persons leave a line
    in the audit log each, and nothing else (B83)."""
    in_the_log = [words for words in READING if words in ACTIONS and ACTIONS[words].is_audited]
    with unchanged(scene):
        for words in READING:
            if words not in in_the_log:
                result = scene.run(words)
                assert result.exit_code == 0, (words, result.output)
    before, lines = scene.rows()
    for words in in_the_log:
        result = scene.run(words)
        assert result.exit_code == 0, (words, result.output)
    assert scene.rows() == (before, lines + len(in_the_log))


@contextmanager
def unchanged(scene: Scene) -> Iterator[None]:
    """Nothing of the store is another after this."""
    before = scene.content()
    yield
    assert scene.content() == before


async def furnish(library: Library) -> dict[str, str]:
    """Some of everything; the ids of a payment and of an entry for review."""
    assert load(library, *LIBRARY).errors == ()
    entry, _ = await noted(library)
    assert await library.follow_up({}, NOW, PLAIN_DAYS) == 2
    paid = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert paid.payment is not None
    return {"PAYMENT": paid.payment.id, "REVIEW": entry.id}


# SQLite


@pytest.fixture
def sqlite_scene(tmp_path: Path) -> Scene:
    """A store at rest; its content is that of all files."""
    config = tmp_path / "sip2gw.toml"
    config.write_text(CONFIG.format(url="sqlite:library.db"))

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    async def make() -> dict[str, str]:
        store = open_library(tmp_path)
        ids = await furnish(store)
        await store.close()
        return ids

    def rows() -> tuple[Any, int]:
        with closing(sqlite3.connect(tmp_path / "library.db")) as store:
            names = [name for (name,) in store.execute(TABLES) if name != "audit"]
            found = {name: store.execute(f"SELECT * FROM {name}").fetchall() for name in names}
            return found, store.execute("SELECT COUNT(*) FROM audit").fetchone()[0]

    return Scene(config, content, rows, asyncio.run(make()))


TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"


@pytest.fixture
def killed(sqlite_scene: Scene) -> Scene:
    """The same after a gateway that was killed: its log holds what the file does not."""
    directory = sqlite_scene.config.parent
    store = directory / "library.db"
    with closing(sqlite3.connect(store)) as gateway:
        gateway.execute("INSERT INTO badge (code, name, active) VALUES ('LATE', 'Late', 1)")
        gateway.commit()
        left = {path: path.read_bytes() for path in directory.glob("library.db*")}
    for path, data in left.items():
        path.write_bytes(data)
    return sqlite_scene


def test_reading_a_file_changes_no_byte(sqlite_scene: Scene) -> None:
    all_work(sqlite_scene)
    assert not sqlite_scene.config.with_name("library.db-wal").exists()


def test_the_log_of_a_killed_gateway_is_read_and_left_alone(killed: Scene) -> None:
    assert killed.config.with_name("library.db-wal").stat().st_size > 0
    all_work(killed)
    assert "LATE" in killed.run("badge list").output


def test_a_log_with_nothing_but_its_header_is_no_obstacle(sqlite_scene: Scene) -> None:
    """A gateway was killed when its first change failed: neither a reader nor the next gateway may
    ask for an index that is not there."""
    store = sqlite_scene.config.with_name("library.db")
    with closing(database.connect(store)) as gateway:
        gateway.execute("UPDATE badge SET name = 'Lost' WHERE code = 'ONBE'")
        log = store.with_name("library.db-wal").read_bytes()
    store.with_name("library.db-wal").write_bytes(log[:32])
    store.with_name("library.db-shm").write_bytes(bytes(32768))
    assert sqlite_scene.run("badge list").exit_code == 0
    open_library(sqlite_scene.config.parent)


def test_a_store_in_use_is_read_as_it_is(sqlite_scene: Scene) -> None:
    """A gateway is running, and shares the index of its log with all who read."""
    store = sqlite_scene.config.with_name("library.db")

    def log_and_file() -> dict[str, bytes]:
        return {name: data for name, data in sqlite_scene.content().items() if name[-4:] != "-shm"}

    with closing(database.connect(store)) as gateway:
        gateway.execute("UPDATE badge SET name = 'Just renamed' WHERE code = 'ONBE'")
        all_work(replace(sqlite_scene, content=log_and_file))
        assert "Just renamed" in sqlite_scene.run("badge list").output
        gateway.execute("UPDATE badge SET name = 'And again' WHERE code = 'ONBE'")


def test_no_reading_command_makes_a_file(sqlite_scene: Scene) -> None:
    for path in sqlite_scene.config.parent.glob("library.db*"):
        path.unlink()
    all_refuse(sqlite_scene, "library.db does not exist; make the store with", check_warns=True)


def test_an_empty_file_stays_empty(sqlite_scene: Scene) -> None:
    sqlite_scene.config.with_name("library.db").write_bytes(b"")
    all_refuse(sqlite_scene, "library.db is empty and was never set up", check_warns=True)


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_the_file_of_another_program_stays_its_own(sqlite_scene: Scene, journal: str) -> None:
    store = sqlite_scene.config.with_name("library.db")
    store.unlink()
    with closing(sqlite3.connect(store)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE schema_migration (version TEXT)")
        other.execute("INSERT INTO schema_migration VALUES ('20260101')")
        other.commit()
    all_refuse(sqlite_scene, "library.db belongs to another program")


def test_a_file_that_is_no_database_is_named(sqlite_scene: Scene) -> None:
    sqlite_scene.config.with_name("library.db").write_text("Dear reader, " * 100)
    all_refuse(sqlite_scene, "library.db: file is not a database")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            f"INSERT INTO schema_migration (number) VALUES ({SCHEMA_NUMBER + 1})",
            f"library.db has schema {SCHEMA_NUMBER + 1}, this program knows up to",
        ),
        (
            f"DELETE FROM schema_migration WHERE number = {SCHEMA_NUMBER}",
            f"library.db has schema {SCHEMA_NUMBER - 1}, this program reads {SCHEMA_NUMBER}: keep",
        ),
    ],
    ids=["newer", "older"],
)
def test_another_schema_is_named_and_kept(sqlite_scene: Scene, change: str, problem: str) -> None:
    with closing(sqlite3.connect(sqlite_scene.config.with_name("library.db"))) as store:
        store.execute(change)
        store.commit()
    all_refuse(sqlite_scene, problem)


def test_a_locked_file_is_named(sqlite_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "READ_WAIT_S", 0.0)
    with closing(sqlite3.connect(sqlite_scene.config.with_name("library.db"))) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE badge SET name = 'x'")
        all_refuse(sqlite_scene, "library.db is locked by another program: wait until")


def test_only_some_commands_make_a_store(sqlite_scene: Scene) -> None:
    """Not even those that write: a wrong `store.url` is an error."""
    for path in sqlite_scene.config.parent.glob("library.db*"):
        path.unlink()
    problem = "does not exist; make the store with `sip2gw import FILE` or `sip2gw serve --create`"
    with unchanged(sqlite_scene):
        for words in ("serve", "patron block C1", "badge define X --name X", "maintain"):
            result = sqlite_scene.call(words)
            assert (result.exit_code, problem in result.output) == (1, True), result.output
    assert sqlite_scene.call("import -").exit_code == 0
    assert sqlite_scene.call("badge list").exit_code == 0


@pytest.mark.parametrize("words", ["import -", "serve --create", "maintain"])
def test_nobody_adds_to_the_file_of_another_program(sqlite_scene: Scene, words: str) -> None:
    for path in sqlite_scene.config.parent.glob("library.db*"):
        path.unlink()
    with closing(sqlite3.connect(sqlite_scene.config.with_name("library.db"))) as other:
        other.execute("CREATE TABLE recipe (name TEXT)")
    with unchanged(sqlite_scene):
        result = sqlite_scene.call(words)
        assert result.exit_code == 1
        assert "library.db belongs to another program and was left unchanged" in result.output


def test_a_store_that_was_only_half_made_is_no_store(sqlite_scene: Scene) -> None:
    """Whoever made it was killed before it had a secret; only who makes stores goes on."""
    with closing(sqlite3.connect(sqlite_scene.config.with_name("library.db"))) as store:
        store.execute("DELETE FROM setting")
        store.commit()
    problem = "the store has tables, but was never set up; make the store with"
    all_refuse(sqlite_scene, problem, check_warns=True)
    with unchanged(sqlite_scene):
        assert problem in sqlite_scene.call("maintain").output
    assert sqlite_scene.call("import -").exit_code == 0


def test_who_may_not_write_beside_the_file_reads_it_all_the_same(
    sqlite_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that right there is no index of the log, and nobody who could make one."""
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    address = ReadingPlace(sqlite_scene.config.with_name("library.db")).address
    assert str(address).endswith("?mode=ro&immutable=1")
    all_work(sqlite_scene)


def test_what_another_program_left_half_done_is_left_to_it(tmp_path: Path) -> None:
    """Opened for writing, SQLite would roll its journal back."""
    for name in ("library.db", "library.db-journal"):
        (tmp_path / name).touch()
    address = ReadingPlace(tmp_path / "library.db").address
    assert str(address).endswith("/library.db?mode=ro")


# PostgreSQL


@pytest.fixture(scope="module")
def furnished(postgres: Server) -> tuple[str, dict[str, str]]:
    """A database with some of everything, to be copied, and the ids of what is shown."""
    name = postgres.make_database()

    async def make() -> dict[str, str]:
        store = open_postgres_library(postgres.url(name), role="command")
        ids = await furnish(store)
        await store.close()
        return ids

    return name, asyncio.run(make())


@pytest.fixture
def postgres_scene(
    postgres: Server, furnished: tuple[str, dict[str, str]], tmp_path: Path
) -> Iterator[Scene]:
    """A store in a database; its content is the whole catalogue and every row."""
    template, ids = furnished
    name = postgres.make_database(template)
    config = tmp_path / "sip2gw.toml"
    config.write_text(CONFIG.format(url=postgres.url(name)))

    def rows() -> tuple[Any, int]:
        found = [row for row in digest(postgres, name) if row[0] != "public.audit"]
        return found, postgres.run("SELECT COUNT(*) FROM audit", name)[0][0]

    yield Scene(config, lambda: digest(postgres, name), rows, ids, name)
    postgres.drop_database(name)


def digest(server: Server, database_name: str) -> list[Any]:
    """A digest of each table's rows, and of each catalogue that says what there is."""
    tables = server.run(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        database_name,
    )
    catalogues = "pg_class pg_attribute pg_proc pg_trigger pg_constraint pg_index pg_namespace"
    names = [*(table for (table,) in tables), *catalogues.split(), "pg_db_role_setting"]
    rows = "SELECT '{0}', md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {0} t"
    return sorted(server.run(" UNION ALL ".join(map(rows.format, names)), database_name))


def test_reading_a_database_changes_nothing_in_it(postgres_scene: Scene) -> None:
    all_work(postgres_scene)


def test_a_missing_database_is_named(postgres: Server, postgres_scene: Scene) -> None:
    postgres_scene.config.write_text(CONFIG.format(url=postgres.url("nowhere")))
    all_refuse(postgres_scene, "the server has no database of that name")


@pytest.fixture
def emptied(postgres: Server, postgres_scene: Scene) -> Scene:
    """A database without a table."""
    for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        postgres.run(statement, postgres_scene.database)
    return postgres_scene


def test_an_empty_database_gets_no_table_and_no_secret(emptied: Scene) -> None:
    all_refuse(emptied, "the database of store.url is empty and was never set up", check_warns=True)


def test_the_database_of_another_program_stays_its_own(postgres: Server, emptied: Scene) -> None:
    postgres.run("CREATE TABLE schema_migration (version TEXT)", emptied.database)
    problem = "the database of store.url belongs to another program"
    all_refuse(emptied, problem)
    with unchanged(emptied):
        assert problem in emptied.call("import -").output


def test_a_command_that_writes_makes_no_table(emptied: Scene) -> None:
    """Several databases may be on a server, and each looks like the right one."""
    with unchanged(emptied):
        for words in ("serve", "patron block C1", "maintain", "import - --dry-run"):
            result = emptied.call(words)
            assert result.exit_code == (0 if "dry" in words else 1), result.output
    assert emptied.call("import -").exit_code == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            f"INSERT INTO schema_migration (number) VALUES ({SCHEMA_NUMBER + 1})",
            f"store.url has schema {SCHEMA_NUMBER + 1}, this program knows up to",
        ),
        (
            f"DELETE FROM schema_migration WHERE number = {SCHEMA_NUMBER}",
            f"store.url has schema {SCHEMA_NUMBER - 1}, this program reads {SCHEMA_NUMBER}: keep",
        ),
    ],
    ids=["newer", "older"],
)
def test_another_schema_of_a_database_is_named_and_kept(
    postgres: Server, postgres_scene: Scene, change: str, problem: str
) -> None:
    postgres.run(change, postgres_scene.database)
    all_refuse(postgres_scene, problem)


def test_a_locked_database_is_named(
    postgres: Server, postgres_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while it is restored or migrated."""
    monkeypatch.setattr(address, "_ONLY_READ", address._ONLY_READ.replace("3s", "1ms"))
    url = postgres.url(postgres_scene.database)
    with unchanged(postgres_scene), session_at(Address(url), Session) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE schema_migration IN ACCESS EXCLUSIVE MODE")
        for words in READING:
            result = postgres_scene.run(words)
            assert result.exit_code == 1, (words, result.output)
            assert "another program holds a lock in the database" in result.output, words
        other.execute("ROLLBACK")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_that_is_opened_to_be_read_refuses_every_change(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """Whatever a command tries by mistake."""
    scene: Scene = request.getfixturevalue(f"{kind}_scene")

    async def try_to_write() -> None:
        store = open_backend(load_config(scene.config), "command", "read").store
        try:
            with pytest.raises(BackendError):
                await store.set_badge_active("ONBE", False)
            with pytest.raises(BackendError):
                await store.set_block("P1", Block(BlockType.GENERAL, "", None, "staff"))
            with pytest.raises(BackendError), store.own_connection() as connection:
                connection.execute("DELETE FROM badge")
        finally:
            await store.close()

    with unchanged(scene):
        asyncio.run(try_to_write())
