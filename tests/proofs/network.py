"""A library network in a storm: two gateways on one PostgreSQL, either killed at random moments.

Forty kiosks pay as in `storm`, and reconnect to either gateway. Of each terminal some lines are at
the one and some at the other, so a BK is repeated wherever, also while its first 37 is under way
or after the gateway that had it is dead. Both gateways are real processes; the database is a real
server that writes to disk. With `--workers` each gateway has so many, which are killed as well, and
the lines of a terminal are at several of them.

Shown besides what `storm` shows (B46, B87, C60, C62, C131): all of it holds whoever was asked
first.
"""

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from postgres import Server, running_server

from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report
from proofs.storm import CONFIG, Storm, judge, library
from sip2gw.backend.postgres.pool import CONNECTIONS_MAX, READS_MAX

CONNECTIONS = 40
GATEWAYS = 2
LIFE_S = (0.3, 6.0)
"""Seconds that a gateway lives before it is killed."""
PAYMENTS = 10_000
PAYMENTS_PER_PATRON = 150
"""Payments that the fees of one patron are good for."""
FIRST_CARD = 2001


async def blow(
    directory: Path,
    server: Server,
    *,
    payments: int,
    kills: int,
    seed: int,
    connections: int = CONNECTIONS,
    life_s: tuple[float, float] = LIFE_S,
    workers: int = 1,
    kills_max: int | None = None,
) -> Report:
    """Run until so many payments were acknowledged and so many gateways killed, and judge."""
    report = Report("network")
    database = server.make_database()
    settings = CONFIG.replace("sqlite:library.db", server.url(database))
    settings = settings.replace("[server]", f"[server]\nworkers = {workers}")
    people = max(12, payments // PAYMENTS_PER_PATRON)
    patrons = tuple(str(number) for number in range(FIRST_CARD, FIRST_CARD + people))
    config = await prepare(directory, settings, library(patrons))
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(GatewayProcess(path, keep_requests=False))
            for path in twins(config, GATEWAYS)
        ]
        storm = Storm(gateways, seed, patrons, kills_max)
        await storm.blow(
            connections,
            lambda storm: (
                storm.acknowledged >= payments and storm.kills + storm.worker_kills >= kills
            ),
            life_s,
        )
    await judge(config, storm, report)
    report.numbers["answered_by_the_other"] = storm.answered_elsewhere
    if workers > 1:
        report.numbers["kills_of_workers"] = storm.worker_kills
    server.drop_database(database)
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="network", description=__doc__)
    parser.add_argument("--payments", type=int, default=PAYMENTS, help=f"default {PAYMENTS}")
    parser.add_argument("--kills", type=int, default=30, help="at least so many (default 30)")
    parser.add_argument("--workers", type=int, default=1, help="of each gateway (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, running_server(durable=True) as server:
        # Those of killed processes stay for a moment.
        server.allow_connections(2 * GATEWAYS * options.workers * (CONNECTIONS_MAX + READS_MAX))
        report = asyncio.run(
            blow(
                Path(directory),
                server,
                payments=options.payments,
                kills=options.kills,
                seed=options.seed,
                workers=options.workers,
            )
        )
    return report.tell()
