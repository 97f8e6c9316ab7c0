"""A gateway over the demo's configuration and library, in this process, after its dialogues."""

import os
from datetime import datetime

from harness import ZONE, running

from sip2gw.backend.system import NotAskedError
from sip2gw.backend.upstream.figures import Figures
from sip2gw.cli.kiosk.requests import requested
from sip2gw.demo import DIALOGUES, configuration, library_records
from sip2gw.monitoring.metrics import FamilyMaker
from sip2gw.protocol.wire import WireFormat
from sip2gw.web.exposition import exposition


async def play(connect):
    """Play all dialogues of the demo, each on a line of its own that `connect` opens."""
    for dialogue in DIALOGUES:
        _, _, _, _, login, _, password, message, *pairs = dialogue.arguments("")
        terminal = await connect()
        assert await terminal.ask(f"9300CN{login}|CO{password}|") == "941"
        await terminal.ask(requested(message, pairs).body(WireFormat(), "DEMO") + b"\r")
        terminal.close()


async def metrics_after_dialogues(directory):
    """What `/metrics` shows when all were played."""
    now = datetime.now(ZONE)
    records = list(library_records(now.date()))
    config = configuration("127.0.0.1:0", "127.0.0.1:0")
    async with running(directory, config=config, records=records, now=now) as gateway:
        await play(gateway.connect)
        await gateway.app.store_chore.look()
        await gateway.app.outbox_chore.look()
        # The account of a gateway in front of a library system that has no time for a loan.
        Figures("default", gateway.metrics, gateway.app.log).failed(b"11", NotAskedError)
        return exposition(FamilyMaker(gateway.metrics).families(), os.getpid())[0].decode()
