"""What a checkout costs more when two hundred patrons wait for the title.

In a library of its own: each kiosk lends copies that nobody waits for, and as many of a title with
a long queue, to the same patrons, each of whom is the first in the queue by then.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.compare import Scale, Site, measured, station_hellos
from benchmarks.figures import Figure
from benchmarks.library import INSTITUTION, STATIONS, Library, Row, build, copy_row, reader_row
from benchmarks.load import Expected, Outcome, closed_loop, connected
from benchmarks.servers import Server
from benchmarks.workloads import information_frames, sealed
from sip2gw.protocol.messages import Checkout

QUEUE = 200
"""Who wait for a title when the last run ends."""
LOANS = 20
"""Checkouts of each kiosk in a run."""
GOAL = 1.3

_FREE, _WANTED = "N", "W"
"""Copies that nobody waits for, and those of a title that many wait for."""


def checkout_with_queue(site: Site, scale: Scale) -> list[Figure]:
    """Server CPU of a checkout with a queue of 200 holds as a multiple of that of one without."""
    runs = scale.runs + 1
    library = Library(4, 4)
    with tempfile.TemporaryDirectory(prefix="sip2gw-queues-") as name:
        directory = Path(name)
        config = build(library, directory, _quietly, more=_rows(runs))
        held = Site(library, directory, config, site.loop)
        with (
            held.gateway() as server,
            connected(server.address, station_hellos("kiosk", STATIONS)) as sockets,
        ):
            known = [iter(_questions(station, runs)) for station in range(STATIONS)]
            errors = closed_loop(sockets, known, Expected(b"64"), 60.0).errors
            ratios = []
            for run in range(runs):
                costs = {}
                for kind in (_FREE, _WANTED) if run % 2 else (_WANTED, _FREE):
                    supplies = [iter(_frames(kind, station, run)) for station in range(STATIONS)]

                    def load(_: Server, supplies: list[Iterator[bytes]] = supplies) -> Outcome:
                        return closed_loop(sockets, supplies, Expected(b"121N"), 60.0)

                    took = measured(server, load, scale.settle_s)
                    errors += took.errors
                    costs[kind] = took.cpu_us
                ratios.append(costs[_WANTED] / costs[_FREE])
    del ratios[0]  # the copies' pages were not in memory yet
    note = (
        f"median of {scale.runs}, {min(ratios):.2f}-{max(ratios):.2f},"
        f" of {STATIONS * LOANS:,} checkouts each;"
        f" the last took {costs[_WANTED]:.0f} and {costs[_FREE]:.0f} microseconds"
    )
    title = f"checkout, {QUEUE} or more waiting, beside nobody waiting"
    return [Figure("queue", title, statistics.median(ratios), "x", GOAL, note, errors)]


def _quietly(text: str) -> None:
    """Such a library is small."""


def _card(station: int, number: int) -> str:
    return f"Q{station:02d}-{number:03d}"


def _item(kind: str, station: int, number: int) -> str:
    return f"{kind}{station:02d}-{number:03d}"


def _rows(runs: int) -> Iterator[Row]:
    begun = datetime.now(UTC) - timedelta(days=10)
    for number in range(QUEUE):
        yield reader_row(f"WAITS{number}")
    for station in range(STATIONS):
        title = f"TW{station:02d}"
        for number in range(runs * LOANS):
            card = _card(station, number)
            yield reader_row(card)
            item = _item(_FREE, station, number)
            yield copy_row(item, f"T{item}")
            yield copy_row(_item(_WANTED, station, number), title)
            yield _hold(card, card, title, begun + timedelta(seconds=number))
        for number in range(QUEUE):
            placed = begun + timedelta(days=1, seconds=number)
            yield _hold(f"{station}-{number}", f"WAITS{number}", title, placed)


def _hold(hold_id: str, card: str, title: str, placed: datetime) -> Row:
    return {
        "kind": "hold", "id": f"H{hold_id}", "patron": card, "title_id": title,
        "placed": placed.isoformat(), "pickup_branch": "MAIN",
    }  # fmt: skip


def _questions(station: int, runs: int) -> list[bytes]:
    """A 63 about each patron, so that both kinds of checkout find them in memory."""
    return information_frames(_card(station, number) for number in range(runs * LOANS))


def _frames(kind: str, station: int, run: int) -> list[bytes]:
    date = "20260302    101500"
    return sealed(
        Checkout(
            transaction_date=date,
            nb_due_date=date,
            institution_id=INSTITUTION,
            patron_identifier=_card(station, number),
            item_identifier=_item(kind, station, number),
            terminal_password="",
        )
        for number in range(run * LOANS, (run + 1) * LOANS)
    )
