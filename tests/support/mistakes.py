"""Mistakes that people make, and what the commands say to them: the table of a reference page.

`python tests/support/mistakes.py` makes each mistake and writes the page. A test makes them again.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from sip2gw.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "messages-to-act-on.md"

SOUND = """\
[institution]
id = "HUB"
name = "Hub Public Library"
[branches.MAIN]
name = "Main branch"
[profiles.kiosk]
kind = "selfcheck"
[profiles.entrance]
kind = "door"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "a kiosk's secret"
[terminals.door-1]
profile = "entrance"
branch = "MAIN"
password = "a door's secret"
"""
"""The configuration in which the mistakes are made."""

PEOPLE = """\
{"kind": "badge", "code": "ONBE", "name": "Hours without staff"}
{"kind": "patron", "id": "P1", "name": "Anna Claes"}
"""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One slip, in what is written or what is typed."""

    what: str
    """In the words of who makes it."""
    command: str = "check"
    """What is typed after `sip2gw`; `--config FILE` is added."""
    edit: tuple[str, str] | None = None
    """What stands in the configuration, and what is written instead."""
    more: str = ""
    """Lines at the end of the configuration."""
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    """Files beside it."""
    stdin: str = ""
    config: str | None = "sip2gw.toml"
    """The file that is named."""
    status: int = 2


def _line(text: str) -> dict[str, str]:
    """The file to import, with double quotes for single ones."""
    return {"data.jsonl": text.replace("'", '"')}


MISTAKES = {
    "In the configuration": (
        Mistake("no configuration is named", "payment list", config=None),
        Mistake("the named file is not there", config="sip2gv.toml"),
        Mistake("a bracket is missing", edit=("[branches.MAIN]", "[branches.MAIN")),
        Mistake("the file was saved in another encoding", edit=("Hub", "\udce9")),
        Mistake("a key is misspelt", edit=('password = "a door', 'pasword = "a door')),
        Mistake("a key is in a table that does not have it", more="pin_required = true"),
        Mistake("a table is misspelt", edit=("[terminals.door-1]", "[terminal.door-1]")),
        Mistake("a table is there twice", more='[branches.MAIN]\nname = "Again"'),
        Mistake("a value is not one of the allowed ones", edit=('"door"', '"gate"')),
        Mistake("a number is in quotes", more='[server]\nrequest_timeout_s = "4"'),
        Mistake("a number is out of bounds", more="[security]\npin_failures_max = 0"),
        Mistake("true is in quotes", edit=('"selfcheck"', '"selfcheck"\npin_required = "true"')),
        Mistake("a required key is missing", edit=('id = "HUB"\n', "")),
        Mistake("an address has no port", more='[server]\nlisten = ["0.0.0.0"]'),
        Mistake("an address is a web address", more='[admin]\nlisten = "http://127.0.0.1:9102"'),
        Mistake("an IPv6 address has no brackets", more='[server]\nlisten = ["::1:6001"]'),
        Mistake("a profile does not exist", edit=('profile = "entrance"', 'profile = "entrence"')),
        Mistake("a branch does not exist", edit=('branch = "MAIN"\n', 'branch = "NORTH"\n')),
        Mistake("a terminal has no password", edit=('password = "a door\'s secret"\n', "")),
        Mistake(
            "a password file is not there",
            edit=('password = "a door\'s secret"', 'password_file = "door.password"'),
        ),
        Mistake(
            "a password file is empty",
            edit=('password = "a door\'s secret"', 'password_file = "door.password"'),
            files={"door.password": "\n"},
        ),
        Mistake("a password cannot go over SIP2", edit=("a door's", "a door|s")),
        Mistake(
            "a hash was made by another program",
            edit=(
                'password = "a door\'s secret"',
                'password_hash = "5f4dcc3b5aa765d61d8327deb882"',
            ),
        ),
        Mistake(
            "a secret was left out of the backup",
            edit=("a door's secret", "left out of the backup"),
        ),
        Mistake(
            "a hash was left out of the backup",
            edit=(
                'password = "a door\'s secret"',
                'password_hash = "left out of the backup"',
            ),
        ),
        Mistake("two terminals have one login", more='login = "kiosk-1"'),
        Mistake(
            "nothing says who a terminal without a login is",
            edit=('password = "a door\'s secret"', "login_required = false"),
        ),
        Mistake(
            "two terminals without a login have one address",
            edit=(
                'password = "a door\'s secret"',
                'login_required = false\nnetworks = ["10.1.2.3"]',
            ),
            more=(
                '[terminals.door-2]\nprofile = "entrance"\nlogin_required = false\n'
                'networks = ["10.1.0.0/16"]'
            ),
        ),
        Mistake("a network is an address with a prefix", more='networks = ["10.1.2.3/8"]'),
        Mistake(
            "the time zone does not exist", edit=("[branches", 'timezone = "Brussels"\n[branches')
        ),
        Mistake(
            "a time of day is past midnight",
            edit=(
                'name = "Main branch"',
                'name = "Main branch"\nhours = [\n'
                '  { days = ["mon"], from = "10:00", to = "25:00", state = "staffed" },\n]',
            ),
        ),
        Mistake("TLS has a certificate and no key", more='[server]\ntls_certificate = "hub.pem"'),
        Mistake("more processes than a file allows", more="[server]\nworkers = 2"),
        Mistake("a screen text is for nothing", more='[texts.en]\ngrantd = "Come in"'),
        Mistake("a library system is wanted and not described", more='[backend]\nkind = "sip2"'),
        Mistake(
            "observing without a library system", edit=('"door"\n', '"door"\nobserve = true\n')
        ),
    ),
    "In the store": (
        Mistake(
            "the store's file is not there",
            "serve",
            more='[store]\nurl = "sqlite:lbrary.db"',
            status=1,
        ),
        Mistake(
            "the store's directory is not there",
            "serve",
            more='[store]\nurl = "sqlite:data/library.db"',
            status=1,
        ),
        Mistake(
            "a list of a store that is not there",
            "badge list",
            more='[store]\nurl = "sqlite:lbrary.db"',
            status=1,
        ),
        Mistake(
            "the file is not a database",
            "badge list",
            more='[store]\nurl = "sqlite:notes.txt"',
            files={"notes.txt": "Buy milk.\n" * 200},
            status=1,
        ),
        Mistake(
            "the address is that of another database",
            "badge list",
            more='[store]\nurl = "mysql://hub/library"',
            status=2,
        ),
        Mistake(
            "nothing listens where PostgreSQL should be",
            "badge list",
            more='[store]\nurl = "postgresql://sip2gw@127.0.0.1:1/library"',
            status=1,
        ),
        Mistake(
            "another program has the gateway's address",
            "serve",
            more='[server]\nlisten = ["127.0.0.1:TAKEN"]',
            status=1,
        ),
        Mistake(
            "the address is that of another machine",
            "serve",
            more='[server]\nlisten = ["192.0.2.1:6001"]',
            status=1,
        ),
    ),
    "In data to import": (
        Mistake("the file is not there", "import patrons.json", status=1),
        Mistake(
            "the file has another format", "import data.jsonl", files=_line("id;name\n"), status=1
        ),
        Mistake(
            "a line was cut off",
            "import data.jsonl",
            files=_line('{"kind": "patron", "id": "P2"\n'),
            status=1,
        ),
        Mistake(
            "a kind is misspelt",
            "import data.jsonl",
            files=_line('{"kind": "patrons", "id": "P2", "name": "B"}\n'),
            status=1,
        ),
        Mistake(
            "a key is misspelt",
            "import data.jsonl",
            files=_line('{"kind": "patron", "id": "P2", "name": "B", "birthdate": "1990-01-01"}\n'),
            status=1,
        ),
        Mistake(
            "a key of a card is misspelt",
            "import data.jsonl",
            files=_line(
                "{'kind': 'patron', 'id': 'P2', 'name': 'B', 'cards': [{'number': 'C2', "
                "'status': 'lost'}]}\n"
            ),
            status=1,
        ),
        Mistake(
            "a required key is missing",
            "import data.jsonl",
            files=_line('{"kind": "patron", "id": "P2"}\n'),
            status=1,
        ),
        Mistake(
            "a number is in quotes",
            "import data.jsonl",
            files=_line('{"kind": "patron", "id": "P2", "name": "B", "status": "5"}\n'),
            status=1,
        ),
        Mistake(
            "a date is written as in Europe",
            "import data.jsonl",
            files=_line(
                "{'kind': 'patron', 'id': 'P2', 'name': 'B', 'birth_date': '31-12-1990'}\n"
            ),
            status=1,
        ),
        Mistake(
            "a state does not exist",
            "import data.jsonl",
            files=_line(
                "{'kind': 'patron', 'id': 'P2', 'name': 'B', 'cards': [{'number': 'C2', "
                "'state': 'stolen'}]}\n"
            ),
            status=1,
        ),
        Mistake(
            "an amount has a comma",
            "import data.jsonl",
            files=_line(
                "{'kind': 'fee', 'id': 'F1', 'patron': 'P1', 'amount': '2,50', "
                "'created': '2026-01-10'}\n"
            ),
            status=1,
        ),
        Mistake(
            "a fee is for somebody unknown",
            "import data.jsonl",
            files=_line(
                "{'kind': 'fee', 'id': 'F1', 'patron': 'P7', 'amount': '2.50', "
                "'created': '2026-01-10'}\n"
            ),
            status=1,
        ),
        Mistake(
            "a patron is there twice",
            "import data.jsonl",
            files=_line('{"kind": "patron", "id": "P2", "name": "B"}\n' * 2),
            status=1,
        ),
        Mistake(
            "a kind that cannot be complete",
            "import --complete patrons data.jsonl",
            files=_line(""),
        ),
    ),
    "On the command line": (
        Mistake("a command is misspelt", "patrn list", config=None),
        Mistake("an option is misspelt", "payment list --jsn"),
        Mistake("an argument is missing", "patron show"),
        Mistake("a block is of no type", "patron block P1 --type banned"),
        Mistake("two formats at once", "payment list --json --csv"),
        Mistake("a moment is not one", "payment list --since last-week"),
        Mistake("a filter names no terminal", "payment list --terminal kiosk-7"),
        Mistake("a filter names no reason", "door log --reason nobadge"),
        Mistake("a filter names no branch", "door stats --branch NORTH"),
        Mistake("a filter names no badge", "badge report ONBEM", status=1),
        Mistake("a direction is not one", "door stats --direction up"),
        Mistake(
            "the span ends before it begins",
            "door inside --branch MAIN --from 2026-03-02 --to 2026-03-01",
        ),
        Mistake("nobody has the card", "patron show 4711", status=1),
        Mistake("a payment does not exist", "payment show 4711", status=1),
        Mistake("a badge does not exist", "badge assign ONBEM P1", status=1),
        Mistake(
            "a list for a badge has no column patron",
            "badge assign ONBE --file people.csv",
            files={"people.csv": "card;name\nP1;Anna\n"},
            status=1,
        ),
        Mistake("a terminal does not exist", "explain --terminal door-7 --card P1", status=1),
        Mistake("an empty PIN", "patron set-pin P1 --stdin", stdin="\n"),
        Mistake("an empty password to hash", "hash-password", stdin="\n"),
        Mistake("a password of an example to hash", "hash-password", stdin="change me\n", status=1),
        Mistake("no way to deliver notices", "outbox send", status=1),
        Mistake("no gateway is running", "terminal list", status=1),
        Mistake(
            "nobody listens where the message goes",
            "send --to 127.0.0.1:1 99",
            status=1,
            config=None,
        ),
        Mistake(
            "an authority is named, but not TLS",
            "send --to localhost:6443 --ca ca.pem 99",
            config=None,
        ),
        Mistake(
            "the file of the authority is not there",
            "send --to localhost:6443 --tls --ca ca.pem 99",
            config=None,
        ),
        Mistake("an address without a port", "send --to localhost 99", config=None),
        Mistake("a message does not exist", "send --to 127.0.0.1:1 patron-info", config=None),
        Mistake("a field does not exist", "send --to 127.0.0.1:1 23 card=1", config=None),
        Mistake("a capture is not there", "decode trace.log", status=1, config=None),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What a command said, and its exit status."""

    status: int
    said: str


@contextmanager
def _taken() -> Iterator[str]:
    """A port that another program has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


class Desk:
    """A directory with a sound configuration and a store, in which mistakes are made."""

    def __init__(self, directory: Path) -> None:
        self._sound = directory / "sound"
        self._sound.mkdir()
        (self._sound / "sip2gw.toml").write_text(SOUND)
        (self._sound / "people.jsonl").write_text(PEOPLE)
        made = _run(self._sound, ["import", "people.jsonl", "--config", "sip2gw.toml"])
        assert made.status == 0, made.said

    def make(self, mistake: Mistake) -> Outcome:
        """Make the mistake, and get what the command says."""
        with tempfile.TemporaryDirectory() as name, _taken() as port:
            place = Path(name) / "hub"
            shutil.copytree(self._sound, place)
            text = SOUND
            if mistake.edit is not None:
                old, new = mistake.edit
                assert old in text, mistake.what
                text = new.join(text.rsplit(old, 1))
            text += mistake.more.replace("TAKEN", port)
            (place / "sip2gw.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
            for file, content in mistake.files.items():
                data = content if isinstance(content, bytes) else content.encode()
                (place / file).write_bytes(data)
            config = [] if mistake.config is None else ["--config", mistake.config]
            outcome = _run(place, [*shlex.split(mistake.command), *config], mistake.stdin)
            said = outcome.said.replace(f"{place}/", "").replace(port, "6001")
            return Outcome(outcome.status, said)


def _run(place: Path, arguments: list[str], stdin: str = "") -> Outcome:
    """Call `sip2gw` in this process, with `place` as the directory."""
    before = Path.cwd()
    os.chdir(place)
    try:
        with (
            Path("said").open("w+", encoding="utf-8") as said,
            patch.object(sys, "argv", ["sip2gw", *arguments]),
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            patch.dict(os.environ),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            os.environ.pop("SIP2GW_CONFIG", None)
            try:
                main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
            said.seek(0)
            return Outcome(status, said.read())
    finally:
        os.chdir(before)


HEAD = """\
# Messages to act on

<!-- Generated by `python tests/support/mistakes.py`; change the commands or the list of mistakes
there, not this page. -->

Mistakes that people make, and what the commands say to them. Each message names what is wrong and
what to do. Lines and the entries of lists are counted from 1. The exit status is 2 when the
configuration or the call is wrong, and 1 when what was asked for cannot be done; nothing was
changed.
"""


def page(outcomes: Mapping[Mistake, Outcome]) -> str:
    """The reference page."""
    parts = [HEAD]
    for title, mistakes in MISTAKES.items():
        parts.append(f"\n## {title}\n\n| what | command | message | status |\n|---|---|---|---|\n")
        parts += (row(one, outcomes[one]) for one in mistakes)
    return "".join(parts)


def row(mistake: Mistake, outcome: Outcome) -> str:
    """The line of the page about a mistake."""
    said = "<br>".join(map(_code, outcome.said.split("\n"))).removesuffix("<br>")
    return f"| {mistake.what} | {_code(mistake.command)} | {said} | {outcome.status} |\n"


def _code(line: str) -> str:
    """A line as it is, inside of a table."""
    if not line:
        return ""
    ticks = "``" if "`" in line else "`"
    return f"{ticks}{line}{ticks}".replace("|", r"\|")


def all_mistakes() -> list[Mistake]:
    """Every mistake of the page."""
    return [one for mistakes in MISTAKES.values() for one in mistakes]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name))
        PAGE.write_text(page({one: desk.make(one) for one in all_mistakes()}), encoding="utf-8")
