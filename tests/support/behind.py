"""A gateway in front of a gateway: the one behind plays the library system.

Behind is the library of `pages`, with a login for the gateway in front, which is told the birth
date (PB), the membership (PC) and, in a field XU, its end. The gateway in front has the same
terminals, and nothing in its store but who has which badge.
"""

from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness import running
from pages import CONFIG, LIBRARY

ILS = """
[profiles.ils]
kind = "payment"
family = "off"
pin_required = false
fw_b = "any"
personal_fields = ["BD", "BE", "BF", "PB", "PC"]
custom_patron_fields = [{ field = "XU", template = "{membership_until}" }]
messages = ["01", "09", "11", "15", "17", "19", "23", "25", "29", "35", "37", "63", "65", "99"]
may_block_patrons = true
accept_offline = true
KEYS
[terminals.ils]
profile = "ils"
branch = "MAIN"
password = "behind"
"""

UPSTREAM = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ADDRESS"
login = "ils"
password = "behind"
aliases = true
connections = 1
knows_fw_b = true
KEYS
[backend.sip2.facts]
birth_date = { field = "PB" }
membership = { field = "PC" }
membership_until = { field = "XU", format = ["%d/%m/%Y", "%d-%m-%Y"] }
"""


@dataclass(frozen=True)
class Dialect:
    """How the two gateways speak with each other."""

    theirs: str
    """Keys of the profile behind."""
    ours: str
    """Keys of `[backend.sip2]` in front."""
    institution: str = "HUB"
    """Of the gateway behind."""


DIALECTS = {
    "cp850 with checksums": Dialect("", ""),
    "UTF-8 without checksums": Dialect(
        'encoding = "utf-8"\nterminator = "CRLF"\nerror_detection = "never"',
        'encoding = "utf-8"\nterminator = "CRLF"\nchecksums = false',
    ),
    "Latin-1 with character checksums": Dialect(
        'encoding = "latin-1"\naccept_character_checksum = true',
        'encoding = "latin-1"\nchecksums = "characters"',
    ),
    "99 before 93, another AO": Dialect(
        "", 'login_order = "status_first"\ninstitution = "BACK"', institution="BACK"
    ),
}


def badges_of(library):
    """What the store in front is told of a library: badges, and who has them."""
    for record in library:
        if record["kind"] == "badge":
            yield record
        elif record["kind"] == "patron" and record["badges"]:
            yield {**{key: record[key] for key in ("kind", "id", "badges")}, "name": ""}


def config_behind(dialect, config=CONFIG):
    """The configuration of the gateway that plays the library system."""
    whose = config.replace('id = "HUB"', f'id = "{dialect.institution}"')
    return whose + ILS.replace("KEYS", dialect.theirs)


def config_in_front(dialect, address, config=CONFIG):
    """The configuration of the gateway in front of it."""
    host, port = address
    keys = UPSTREAM.replace("ADDRESS", f"{host}:{port}").replace("KEYS", dialect.ours)
    return config + keys


@asynccontextmanager
async def behind(directory, dialect, *, config=CONFIG, records=LIBRARY):
    """The gateway that plays the library system."""
    (directory / "behind").mkdir(exist_ok=True)
    async with running(
        directory / "behind", config=config_behind(dialect, config), records=records
    ) as gateway:
        yield gateway


@asynccontextmanager
async def in_front(directory, dialect, rear, *, config=CONFIG, records=LIBRARY):
    """The gateway in front of `rear`, which knows of `records` only the badges."""
    (directory / "front").mkdir(exist_ok=True)
    async with running(
        directory / "front",
        config=config_in_front(dialect, rear.address, config),
        records=list(badges_of(records)),
    ) as gateway:
        yield gateway
