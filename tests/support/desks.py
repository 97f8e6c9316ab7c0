"""The lending library of `desk` behind a gateway: every terminal has an account of its own there.

Behind, each terminal of the gateway in front logs in as itself, so that what decides lending is set
where it is decided. Only who has authorised whom does the library system not know.
"""

import re
from contextlib import asynccontextmanager

from behind import badges_of
from harness import running

_PROFILE = re.compile(r"^(\[profiles\.[\w-]+\])$", re.MULTILINE)
_TERMINAL = re.compile(r"^\[terminals\.([\w-]+)\]$", re.MULTILINE)

BACKEND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ADDRESS"
password = "pw"
connections = 1
KEYS
"""
HELPER = 'kind = "selfcheck"\npin_required = true\nrenewals_of_authorisers = true'


def config_behind(dialect, config):
    """The configuration of the gateway that plays the library system."""
    whose = config.replace('id = "HUB"', f'id = "{dialect.institution}"')
    whose = whose.replace(HELPER, 'kind = "selfcheck"')
    return _PROFILE.sub(rf"\1\n{dialect.theirs}", whose)


def config_in_front(dialect, address, config):
    """The configuration of the gateway in front of it."""
    host, port = address
    keys = BACKEND.replace("ADDRESS", f"{host}:{port}").replace("KEYS", dialect.ours)
    names = _TERMINAL.findall(config)
    accounts = "".join(f'[backend.sip2.accounts.{n}]\nlogin = "{n}"\n' for n in names)
    return _TERMINAL.sub(r'[terminals.\1]\nupstream = "\1"', config) + keys + accounts


def _is_relation(record):
    return record["kind"] == "relationship"


def in_front_of(records):
    """What the store in front knows of a library: badges, and who has authorised whom."""
    relations = [record for record in records if _is_relation(record)]
    related = {record[side] for record in relations for side in ("from", "to")}
    known = [r for r in records if r["kind"] == "patron" and r["id"] in related]
    memberships = [r for r in records if r["kind"] == "membership"]
    badges = [r for r in badges_of(records) if r.get("id") not in related]
    return [*memberships, *badges, *known, *relations]


@asynccontextmanager
async def desk_behind(directory, dialect, config, records):
    """The library system, in `directory` if it is there already."""
    directory.mkdir(exist_ok=True)
    library = [record for record in records if not _is_relation(record)]
    async with running(
        directory, config=config_behind(dialect, config), records=library
    ) as gateway:
        yield gateway


@asynccontextmanager
async def desk_in_front(directory, dialect, rear, config, records):
    """The gateway in front of `rear`."""
    directory.mkdir(exist_ok=True)
    async with running(
        directory, config=config_in_front(dialect, rear.address, config), records=records
    ) as gateway:
        yield gateway
