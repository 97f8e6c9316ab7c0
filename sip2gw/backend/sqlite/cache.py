"""A bounded memory of patron snapshots, found by card number or by patron id."""

from __future__ import annotations

import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from sip2gw.model import Fee, PatronRecord

PARTS = 1_024
"""Of all patrons; when one changes by another process, the snapshots of its part are dropped."""


def part_of(patron_id: str) -> int:
    """The part that a patron belongs to, in all processes."""
    return zlib.crc32(patron_id.encode("utf-8", "surrogatepass")) % PARTS


class RecordCache:
    """Keeps at most `records_max` snapshots; the oldest one makes room.

    Used by one thread only. Code that changes a patron must `evict` the snapshot afterwards. A
    snapshot that was being read elsewhere meanwhile is not kept, because it may be older (C62).
    """

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._by_id: OrderedDict[str, PatronRecord] = OrderedDict()
        self._by_card: dict[str, PatronRecord] = {}
        self._parts: defaultdict[int, list[str]] = defaultdict(list)
        """Whose snapshots are kept, by part."""
        self._loads = 0
        self._loading: dict[int, set[str]] = {}
        """Snapshots that are being read, and who has changed since each was begun."""
        self.by_card = self._by_card.get
        """The snapshot of the holder of a card, or None."""
        self.by_id = self._by_id.get
        """The snapshot of a patron, or None."""

    def __len__(self) -> int:
        return len(self._by_id)

    def begin(self) -> int:
        """Somebody begins to read a snapshot now; returns what `end` is to be told."""
        self._loads += 1
        self._loading[self._loads] = set()
        return self._loads

    def end(self, load: int, record: PatronRecord | None) -> None:
        """Remember the snapshot that was read, if there is one and nothing has changed since."""
        changed = self._loading.pop(load, None)
        if record is not None and changed is not None and record.id not in changed:
            self.add(record)

    def add(self, record: PatronRecord) -> None:
        """Remember `record`, which is as of now, instead of what was known of that patron."""
        self._drop((record.id,))
        while len(self._by_id) >= self._records_max:
            self._forget(self._by_id.popitem(last=False)[1])
        self._by_id[record.id] = record
        self._parts[part_of(record.id)].append(record.id)
        for card in record.cards:
            self._by_card[card.number] = record

    def evict_parts(self, parts: Iterable[int]) -> None:
        """Forget all patrons in these parts, and whatever is being read."""
        self._loading.clear()
        for part in parts:
            self._drop(tuple(self._parts[part]))

    def evict(self, patron_ids: Collection[str]) -> None:
        """Forget these patrons."""
        self._changed(patron_ids)
        self._drop(patron_ids)

    def _changed(self, patron_ids: Iterable[str]) -> None:
        for changed in self._loading.values():
            changed.update(patron_ids)

    def _drop(self, patron_ids: Iterable[str]) -> None:
        for patron_id in patron_ids:
            record = self._by_id.pop(patron_id, None)
            if record is not None:
                self._forget(record)

    def update_fees(self, fees: Mapping[str, tuple[Fee, ...]]) -> None:
        """Replace what is open of these patrons, whose other facts did not change."""
        self._changed(fees)
        for patron_id, open_fees in fees.items():
            record = self._by_id.get(patron_id)
            if record is None:
                continue
            record = replace(record, fees=open_fees)
            self._by_id[patron_id] = record
            for card in record.cards:
                self._by_card[card.number] = record

    def change(self, patron_id: str, change: Callable[[PatronRecord], PatronRecord]) -> None:
        """Replace the snapshot of this patron, if there is one, by what `change` makes of it."""
        self._changed((patron_id,))
        record = self._by_id.get(patron_id)
        if record is not None:
            record = self._by_id[patron_id] = change(record)
            for card in record.cards:
                self._by_card[card.number] = record

    def clear(self) -> None:
        """Forget all snapshots, even those that are being read."""
        self._loading.clear()
        self._by_id.clear()
        self._by_card.clear()
        self._parts.clear()

    def _forget(self, record: PatronRecord) -> None:
        self._parts[part_of(record.id)].remove(record.id)
        for card in record.cards:
            self._by_card.pop(card.number, None)
