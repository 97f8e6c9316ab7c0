"""What a database is before anything is done to it: ours, new, or not for us (B70, C135)."""

from __future__ import annotations

from sip2gw.backend.base import Access, BackendError
from sip2gw.backend.database import Connection
from sip2gw.backend.sql.migrate import SchemaError, refuse_newer, schema_number
from sip2gw.backend.sql.schema import MIGRATIONS, SCHEMA_NUMBER

HOW_TO_MAKE = (
    "make the store with `sip2gw import FILE` or `sip2gw serve --create`, or correct store.url"
)

_OURS = "SELECT COUNT(*) FROM schema_migration WHERE number = 1 AND title = ?"


class NoStoreError(BackendError):
    """There is no store where `store.url` says, or nobody has set it up."""


class ForeignStoreError(BackendError):
    """What is there belongs to another program."""


def insist_on_standing(connection: Connection, where: str, access: Access) -> None:
    """Refuse what `access` does not allow to be used, made or brought up to date.

    It only looks. A store that is empty passes if it may be made, an older one if it may be
    written to.

    Args:
        where: names the store in a refusal.

    Raises:
        NoStoreError: nobody has set the store up.
        ForeignStoreError: other tables are there.
        SchemaError: its schema is newer, or older than what may be read.
    """
    names = {name for (name,) in connection.execute(connection.dialect.table_names)}
    if not names:
        if access != "make":
            raise NoStoreError(f"{where} is empty and was never set up; {HOW_TO_MAKE}")
        return
    if "schema_migration" not in names or not _is_ours(connection):
        raise ForeignStoreError(
            f"{where} belongs to another program and was left unchanged: it has tables that are"
            " not of sip2gw; correct store.url"
        )
    present = schema_number(connection)
    refuse_newer(present, where)
    if present < SCHEMA_NUMBER and access in ("read", "note", "rehearse"):
        raise SchemaError(
            f"{where} has schema {present}, this program reads {SCHEMA_NUMBER}: keep a copy, then"
            " bring it up to date with `sip2gw serve` or `sip2gw maintain`"
        )


def _is_ours(connection: Connection) -> bool:
    """Whether the list of migrations is that of this program, and not another one's."""
    columns = "SELECT * FROM schema_migration"
    row = connection.execute(columns).fetchone()
    if row is None or len(row) != len(("number", "title")):
        return False
    (count,) = connection.execute(_OURS, (MIGRATIONS[0].title,)).fetchone()
    return bool(count)
