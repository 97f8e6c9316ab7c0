"""Stores as released versions made them: `tests/fixtures/schema-N`, and how to open a copy of one.

Of each schema that was released there is a library on SQLite (`library.db.gz` and its PIN secret),
the same on PostgreSQL (`library.sql.gz`), the configuration it was made with, what was said then
(`played.json`), and the digests of the migrations (`migrations.json`).
"""

import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
from harness import Terminal

from sip2gw.backend.postgres.database import POSTGRES
from sip2gw.backend.sql.migrate import statements_of
from sip2gw.backend.sql.schema import MIGRATIONS
from sip2gw.backend.sqlite.database import SQLITE
from sip2gw.config import load_config

DIRECTORY = Path(__file__).parents[1] / "fixtures"
MADE = datetime(2026, 11, 24, 12, 0, tzinfo=ZoneInfo("Europe/Brussels"))
"""When everything in a fixture happened."""
SECRET = b"demo secret, it protects nothing"
"""The PIN secret of every fixture: 32 bytes that anybody may know, for the people are invented."""

SQLITE_URL = "sqlite:library.db"


@dataclass(frozen=True, slots=True)
class Released:
    """The fixture of one schema."""

    number: int

    @property
    def directory(self):
        return DIRECTORY / f"schema-{self.number}"

    @property
    def config(self):
        """The text of the configuration, with the store in `SQLITE_URL`."""
        return (self.directory / "sip2gw.toml").read_text()

    @property
    def played(self):
        """Login, request and answer of each message, in their order."""
        return [tuple(line) for line in json.loads((self.directory / "played.json").read_text())]

    @property
    def digests(self):
        """Of each migration of then, by the names of database and migration."""
        return json.loads((self.directory / "migrations.json").read_text())

    def copy_sqlite(self, directory):
        """Put the SQLite store into `directory`, as `SQLITE_URL` names it there."""
        packed = gzip.decompress((self.directory / "library.db.gz").read_bytes())
        (directory / "library.db").write_bytes(packed)
        shutil.copy(self.directory / "library.db.pin-secret", directory)

    async def load_postgres(self, url):
        """Fill the empty database `url`."""
        dump = gzip.decompress((self.directory / "library.sql.gz").read_bytes()).decode()
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(dump)
        finally:
            await connection.close()


def released_schemas():
    """All fixtures, the oldest first."""
    numbers = sorted(int(path.name.removeprefix("schema-")) for path in DIRECTORY.glob("schema-*"))
    return [Released(number) for number in numbers]


def migration_digests():
    """A digest of what each migration of this program executes, on both databases."""
    return {
        name: {
            str(migration.number): _digest([migration.title, *statements_of(migration, dialect)])
            for migration in MIGRATIONS
        }
        for name, dialect in (("sqlite", SQLITE), ("postgresql", POSTGRES))
    }


def _digest(parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def log_in(gateway, directory, login):
    """A terminal that has logged in with the password of the configuration in `directory`."""
    secret = load_config(directory / "sip2gw.toml").terminals[login].password
    assert secret is not None
    password = secret.get_secret_value()
    terminal: Terminal = await gateway.connect()
    assert await terminal.ask(f"9300CN{login}|CO{password}|") == "941"
    return terminal
