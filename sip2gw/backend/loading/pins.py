"""Clear PINs of an import: hashed on all cores when its records are in the store (B20, C61).

Until then a patron has the PIN that the store knows, or none, and a PIN presented for none is
wrong. What was hashed is written batch by batch, so an interruption loses at most what was being
hashed, and the next import of the same files goes on with those who still have none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from msgspec import Struct, field

from sip2gw.backend.database import Connection, Database, alone, telling
from sip2gw.backend.loading import checks
from sip2gw.backend.sql.queries import BUMP_VERSION, fill
from sip2gw.backend.sql.stubs import LIVING
from sip2gw.foundation.foreign_hashes import is_foreign_hash
from sip2gw.foundation.hashing import hash_pin, verify_pin
from sip2gw.foundation.priority import step_back
from sip2gw.protocol.structs import Discreet, Hidden

PINS_PER_BATCH = 200
"""Some seconds of hashing; the gateway reads its patrons anew after each batch."""
_SET = fill(
    """
    UPDATE patron AS p SET pin_hash = ?, pin_origin = NULL
    WHERE p.id = ? AND COALESCE(p.pin_hash, '') = ? AND {living}""",
    living=LIVING,
)
"""Unless somebody has changed the PIN, or ended the patron, since it was hashed."""
_FORGET_FAILURES = """
    DELETE FROM pin_failure WHERE patron_id = ?
        AND EXISTS (SELECT 1 FROM patron WHERE id = ? AND pin_hash = ?)"""
"""They were failures of somebody who could not be right."""


class PinHashing(Struct, frozen=True):
    """How PINs are hashed and recognised; both take long."""

    hash: Callable[[bytes, str], str] = hash_pin
    verify: Callable[[bytes, str, str], bool] = verify_pin


class ClearPins(Discreet, Struct):
    """The PINs that an import brought, by patron; they never reach a table."""

    of: Hidden[list[tuple[str, str]]] = field(default_factory=list)
    done: int = 0
    """Of how many the hash is in the store for good."""

    def __len__(self) -> int:
        return len(self.of)


class _Pin(Discreet, Struct, frozen=True):
    patron_id: str
    pin: Hidden[str]
    stored: Hidden[str | None]


def store_pins(
    store: Database,
    pins: ClearPins,
    *,
    hashing: PinHashing,
    progress: Callable[[int, int], None],
) -> None:
    """Hash `pins` and write them to `store`; one that is stored already is only verified.

    Blocks; keeps others from writing only while a batch is written. `progress` is told how many
    are done, and of how many.

    Raises:
        BackendError: the store failed; `pins.done` are in it.
    """
    left = telling(
        "the records are in the store, but not all PINs", "import the same files again to go on"
    )
    with (
        left,
        store.own_connection() as connection,
        ThreadPoolExecutor(os.cpu_count(), initializer=step_back) as pool,
    ):
        ordered = iter(_in_order(connection, pins))
        while batch := list(islice(ordered, PINS_PER_BATCH)):
            hashed: list[tuple[_Pin, str | None]] = []
            try:
                new = pool.map(lambda pin: _new_hash(hashing, store.pin_secret, pin), batch)
                for pin, made in zip(batch, new, strict=True):
                    hashed.append((pin, made))
                    progress(pins.done + len(hashed), len(pins))
            finally:  # also when somebody has had enough of it
                _write(connection, hashed)
                store.distrust_cache()
                pins.done += len(hashed)


def _in_order(connection: Connection, pins: ClearPins) -> Sequence[_Pin]:
    """Those without a PIN first: they have been waiting for it."""
    stored = checks.pin_hashes(connection, [patron_id for patron_id, _ in pins.of])
    found = [_Pin(*pin, known) for pin, known in zip(pins.of, stored, strict=True)]
    return sorted(found, key=lambda pin: pin.stored is not None)


def _new_hash(hashing: PinHashing, secret: bytes, pin: _Pin) -> str | None:
    """The hash to store, or None when the stored one is ours and of this PIN."""
    stored = pin.stored
    if stored is None or is_foreign_hash(stored) or not hashing.verify(secret, stored, pin.pin):
        return hashing.hash(secret, pin.pin)
    return None


def _write(connection: Connection, hashed: Iterable[tuple[_Pin, str | None]]) -> None:
    """Write what is new, in one transaction."""
    new = [(made, pin) for pin, made in hashed if made is not None]
    if not new:
        return
    with alone(connection):
        connection.executemany(_SET, [(made, it.patron_id, it.stored or "") for made, it in new])
        connection.executemany(_FORGET_FAILURES, list(_without(new)))
        connection.execute(BUMP_VERSION)
        connection.execute("COMMIT")


def _without(new: Iterable[tuple[str, _Pin]]) -> Iterator[tuple[str, str, str]]:
    """The values of `_FORGET_FAILURES` for those who had no PIN."""
    return ((it.patron_id, it.patron_id, made) for made, it in new if it.stored is None)
