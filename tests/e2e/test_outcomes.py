"""What was answered no is not done later; what nobody knows is shown to staff (C59, C98).

Each scene breaks the store of a real gateway process in one way, at one moment.
"""

import asyncio
import sqlite3
import time
from contextlib import ExitStack, asynccontextmanager, closing

import pytest
from desk import ask_11, copy
from faulty_disk import build
from harness import CONFIG, LIBRARY, ask_37
from postgres import running_server
from proofs import clerk
from proofs.faults import open_unknown
from proofs.process import GatewayProcess, prepare
from proxy import breakable

QUICK = (
    CONFIG.replace("[server]\n", "[server]\nrequest_timeout_s = 1\nterminal_timeout_s = 5\n")
    + """
[terminals.pay-4]
profile = "cash"
branch = "MAIN"
password = "pw"
"""
)
PAY = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
PAY_MORE = ask_37("1005", "1.00", pin="1005", bk="K2")
PAY_AFTER = ask_37("1011", "0.10", pin="1011", bk="K9")
LEND = ask_11("FREE1", "1009", "1009")
SYSTEM = "|AFThis is not possible now. Please try again or ask the staff.|"
NOT_SURE = "|AFWe are not sure that your payment was recorded. Please ask the staff.|"
LOAN_NOT_SURE = "sure"
SOON_S = 10


@pytest.fixture
def disk(tmp_path_factory):
    made = build(tmp_path_factory.mktemp("disk"))
    if made is None:
        pytest.skip("gcc compiles what makes the disk fail")
    with made:
        yield made


@pytest.fixture
async def gateway(tmp_path, disk, watch):
    """On SQLite, on a disk that can be made to fail."""
    config = await prepare(tmp_path, QUICK, [*LIBRARY, copy("FREE1")])
    options = {"environment": disk.environment, "program": watch.program()}
    async with GatewayProcess(config, **options) as gateway:
        await gateway.start()
        yield gateway


async def told(gateway, *commands):
    """What commands say, record by record."""
    questions = [[*words.split(), "--json"] for words in commands]
    return [said.records for said in await clerk.ask(gateway.config, *questions)]


async def ledger(gateway):
    """The status of each payment and the state of each unknown one, by BK."""
    payments, doubts = await told(gateway, "payment list", "payment reconcile")
    return (
        {row["bk"]: row["status"] for row in payments},
        {row["bk"]: row["state"] for row in doubts},
    )


async def paid(till, request):
    """Ask until it is booked: on a busy machine a second may be too short for the first time."""
    async with asyncio.timeout(SOON_S):
        while not (await till.ask(request)).startswith("38Y"):
            await asyncio.to_thread(time.sleep, 0.02)


async def shown(gateway, number):
    """Wait until the gauge of unknown outcomes shows `number`."""
    async with asyncio.timeout(SOON_S):
        while await open_unknown(gateway) != number:
            await asyncio.to_thread(time.sleep, 0.02)


async def settled(gateway):
    """The ledger as soon as nothing in it is unknown; then the gauge says so too.

    The gauge alone does not tell: it is 0 before the first look as well.
    """
    async with asyncio.timeout(SOON_S):
        while "unknown" in (doubts := (await ledger(gateway))[1]).values() or not doubts:
            await asyncio.to_thread(time.sleep, 0.02)
    await shown(gateway, 0)
    return await ledger(gateway)  # it may have been settled between the two lists


@asynccontextmanager
async def write_lock(path):
    """Another process has SQLite's file for itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_what_waited_for_another_process_and_was_refused_is_not_done_later(gateway, tmp_path):
    first, second = await gateway.terminal("pay-1"), await gateway.terminal("pay-4")
    kiosk = await gateway.terminal("kiosk-1")
    async with write_lock(tmp_path / "library.db"):
        answers = await asyncio.gather(first.ask(PAY), second.ask(PAY_MORE), kiosk.ask(LEND))
    assert [answer[:3] for answer in answers] == ["38N", "38N", "120"]
    await paid(first, PAY_AFTER)  # it came after them in every queue
    assert await ledger(gateway) == ({"K9": "booked"}, {})
    (exported,) = await clerk.ask(gateway.config, ["export"])
    assert "FREE1" not in {line["item"] for line in exported.records if line["kind"] == "loan"}
    assert all(SYSTEM in answer for answer in answers)


@pytest.mark.parametrize("spool_too", [False, True])
async def test_a_flush_that_failed_is_not_forgotten_when_the_log_brings_it_back(
    gateway, disk, spool_too
):
    """38N, SIGKILL, and SQLite's log still holds the payment when the gateway starts again."""
    till = await gateway.terminal("pay-1")
    disk.store.fail(flush=True)
    disk.spool.fail(flush=spool_too)
    answer = await till.ask(PAY)
    assert answer.startswith("38N")
    assert NOT_SURE in answer
    await gateway.kill()
    disk.heal()
    await gateway.start()
    payments, doubts = await settled(gateway)
    assert doubts == {"K1": payments["K1"]}
    assert payments["K1"] in ("booked", "refused")


async def test_a_loan_whose_flush_failed_is_left_to_staff(gateway, disk):
    kiosk = await gateway.terminal("kiosk-1")
    disk.store.fail(flush=True)
    answer = await kiosk.ask(LEND)
    assert answer.startswith("120")
    assert LOAN_NOT_SURE in answer
    await gateway.kill()
    disk.heal()
    await gateway.start()
    await shown(gateway, 0)
    (reviews,) = await told(gateway, "review list")
    (entry,) = reviews
    assert (entry["kind"], entry["terminal"], entry["message"]) == ("unknown", "kiosk-1", "11")
    assert (entry["item"], entry["patron"]) == ("FREE1", "1009")
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(LEND)).startswith("121N")  # done then, or done now


async def test_what_is_not_sure_is_counted_and_listed_until_it_is_settled(gateway, disk):
    till = await gateway.terminal("pay-1")
    disk.store.fail(flush=True)
    assert NOT_SURE in await till.ask(PAY)
    await shown(gateway, 1)
    assert await ledger(gateway) == ({"K1": "unknown"}, {"K1": "unknown"})
    refused = await till.ask(PAY_MORE)  # while the disk fails nothing is begun
    assert refused.startswith("38N")
    assert SYSTEM in refused
    disk.heal()
    payments, doubts = await settled(gateway)
    assert doubts == payments  # of K1, and nothing of K2
    assert payments["K1"] in ("booked", "refused")
    await paid(till, PAY)
    payments, _ = await told(gateway, "payment list", "payment reconcile")
    assert [row["bk"] for row in payments if row["status"] == "booked"] == ["K1"]


@pytest.mark.parametrize("spool_too", [False, True])
async def test_the_retry_of_what_is_not_sure_is_not_told_a_plain_no(gateway, disk, spool_too):
    """It could still turn out to be booked; a plain no would make the kiosk give money back."""
    till = await gateway.terminal("pay-1")
    disk.store.fail(flush=True)
    disk.spool.fail(flush=spool_too)
    assert NOT_SURE in await till.ask(PAY)
    assert NOT_SURE in await till.ask(PAY)
    refused = await till.ask(PAY_MORE)
    assert refused.startswith("38N")
    assert SYSTEM in refused


class Freezer:
    """Stops PostgreSQL when a payment's last statement is on its way there."""

    def __init__(self, server, database, proxy):
        self.server, self.database = server, database
        self.sightings = 0
        self.freeze_at = 0
        self.whole = False
        """Whether the whole server stops, or only the sessions of the database."""
        self._frozen = ExitStack()
        proxy.watch = self.see

    def see(self, data):
        self.sightings += b"pay-1" in data
        if self.freeze_at and self.sightings == self.freeze_at:
            self.freeze_at = 0
            some = "" if self.whole else self.database
            self._frozen.enter_context(self.server.frozen(some))

    def thaw(self):
        self._frozen.close()


@pytest.fixture(scope="module")
def server():
    with running_server() as started:
        yield started


@pytest.fixture
async def freezer_and_gateway(tmp_path, watch, server):
    """On PostgreSQL."""
    database = server.make_database()
    url = '"sqlite:library.db"'
    direct = QUICK.replace(url, f'"{server.url(database)}"')
    config = await prepare(tmp_path, direct, [*LIBRARY, copy("FREE1")])
    served = GatewayProcess(config, program=watch.program())
    async with breakable(server.socket) as proxy, served as gateway:
        config.write_text(QUICK.replace(url, f'"postgresql://postgres@{proxy.address}/{database}"'))
        await gateway.start()
        freezer = Freezer(server, database, proxy)
        yield freezer, gateway
        freezer.thaw()
    server.drop_database(database)


async def freeze_and_pay(freezer, gateway, *, whole):
    """The answer to a payment whose last statement waits at a PostgreSQL that has stopped."""
    till = await gateway.terminal("pay-1")
    await paid(till, PAY_MORE)
    freezer.whole = whole
    freezer.freeze_at = 2 * freezer.sightings  # the next payment's last one
    answer = await till.ask(PAY)
    assert not freezer.freeze_at
    freezer.thaw()
    return till, answer


async def test_a_statement_that_postgresql_reads_after_the_answer_is_found(freezer_and_gateway):
    """The whole server stops, so that nobody can find out what becomes of the statement."""
    freezer, gateway = freezer_and_gateway
    till, answer = await freeze_and_pay(freezer, gateway, whole=True)
    assert answer.startswith("38N")
    assert NOT_SURE in answer
    payments, doubts = await settled(gateway)
    assert doubts == {"K1": payments["K1"]}
    assert payments["K1"] in ("booked", "refused")
    await paid(till, PAY)
    payments, _ = await told(gateway, "payment list", "payment reconcile")
    assert [row["bk"] for row in payments if row["status"] == "booked"].count("K1") == 1


async def test_a_statement_that_was_fenced_before_the_answer_does_nothing(freezer_and_gateway):
    """Only the sessions stop: a new one makes sure that the payment cannot be booked any more."""
    freezer, gateway = freezer_and_gateway
    till, answer = await freeze_and_pay(freezer, gateway, whole=False)
    assert answer.startswith("38N")
    if NOT_SURE in answer:  # a busy machine had no time for the new session
        payments, doubts = await settled(gateway)
    else:
        assert SYSTEM in answer
        payments, doubts = await ledger(gateway)
    assert "booked" not in (payments.get("K1"), doubts.get("K1"))
    await paid(till, PAY)
    payments, _ = await told(gateway, "payment list", "payment reconcile")
    assert [row["bk"] for row in payments if row["status"] == "booked"].count("K1") == 1
