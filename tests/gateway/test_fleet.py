"""Who gets a connection, what follows when a worker ends or stands still; no place is lost.

The workers here are objects at the other ends of real links (B68, B87, C131).
"""

import asyncio
import itertools
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from fleets import HERE, House
from harness import CONFIG
from msgspec.structs import replace

from sip2gw.config import ConfigError, TlsFiles, load_config
from sip2gw.config.passing import read_config, write_config
from sip2gw.daemon.fleet import member, worker
from sip2gw.daemon.fleet.member import HOPELESS_AFTER, STUCK_AFTER
from sip2gw.daemon.fleet.team import EXPECTED_S, KILL_EVERY_S
from sip2gw.foundation import children
from sip2gw.serving.tls import contexts_of, holding
from sip2gw.shared.together.messages import Recognised, Told


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "RESTART_AFTER_S", 0.001)
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG)
    config = load_config(path)
    server = config.server.model_copy(update={"workers": 3})
    opened = House(replace(config, server=server))
    yield opened
    await opened.close()


async def test_each_connection_goes_to_the_worker_with_the_fewest(house):
    await house.open(0, 1, 2)
    house.arrive(7)
    await house.until(lambda: sum(house.lines()) == 7)
    assert sorted(house.lines()) == [2, 2, 3]
    emptied = house.workers[1]
    for number in list(emptied.lines):
        emptied.leaves(number)
    await house.until(lambda: house.team.members[1].lines == 0)
    before = house.lines()
    house.arrive(2)
    await house.until(lambda: len(emptied.lines) == 2)
    assert house.lines() == [before[0], 2, before[2]]


async def test_a_connection_tells_where_it_came_from_and_when(house):
    await house.open(0)
    house.arrive(2)
    await house.until(lambda: house.lines() == [2])
    (first, _), (second, _) = house.workers[0].lines.values()
    assert (first.address, first.listener, first.accepted_at) == (HERE, 0, 1000.0)
    assert second.number == first.number + 1


async def test_places_are_counted_until_the_worker_says_that_they_are_free(house):
    await house.open(0, 1)
    house.arrive(4)
    await house.until(lambda: house.lines() == [2, 2])
    assert house.counted == (4, 4, 4)
    first, second = house.workers[0], house.workers[1]
    first.link.tell(Told([Recognised(HERE)]))
    await house.until(lambda: house.counted == (4, 4, 3))
    first.leaves(next(iter(first.lines)), stranger=False)
    second.leaves(next(iter(second.lines)))
    await house.until(lambda: house.counted == (2, 2, 2))


async def test_those_of_a_worker_that_ends_are_free_and_it_is_replaced(house):
    await house.open(0, 1)
    house.arrive(4)
    await house.until(lambda: house.lines() == [2, 2])
    ended = house.workers[1]
    ended.link.tell(Told([Recognised(HERE)]))
    ended.leaves(next(iter(ended.lines)))
    ended.end(-11)
    await house.serves(1, ended)
    assert house.counted == (2, 2, 2)
    assert house.metrics.worker_restarts == {"crash": 1}
    house.arrive(2)
    await house.until(lambda: house.lines() == [2, 2])
    (line,) = house.logged("worker_ended")
    assert (line["worker"], line["reason"], line["status"]) == (1, "crash", -11)


async def test_it_is_replaced_again_and_again_ever_more_slowly(house):
    await house.open(0)
    house.team.begin([1])
    for _ in range(4):
        before = house.workers.get(1)
        await house.until(lambda: house.workers.get(1) is not before)  # noqa: B023
        house.workers[1].end(1)
    await house.until(lambda: house.metrics.worker_restarts["crash"] == 4)
    pauses = [line["again_in_s"] for line in house.logged("worker_ended")]
    assert pauses == [0.001, 0.002, 0.004, 0.008]


async def test_without_a_descriptor_for_one_it_is_tried_again(house):
    house.starting = OSError(24, "Too many open files")
    house.team.begin([0])
    await house.until(lambda: house.metrics.worker_restarts["crash"] == 2)
    assert house.team.failed.is_set()  # nobody has ever served
    house.starting = None
    await house.serves(0)
    assert house.logged("worker_ended")[0]["status"] == "Too many open files"


async def test_what_a_worker_never_took_goes_to_another(house):
    await house.open(0, 1)
    still = house.workers[1]
    still.stand_still()
    terminals = house.arrive(4)
    await house.until(lambda: len(house.workers[0].lines) == 2)
    still.kill()
    await house.until(lambda: len(house.workers[0].lines) == 4)
    assert still.lines == {}
    assert house.counted == (4, 4, 4)
    await house.until(lambda: not house.team.members[0]._untaken)
    assert [terminal.recv(1) for terminal in terminals] == [b""] * 4  # ours close what they get


async def test_newcomers_wait_for_the_successor_of_one_that_has_crashed(house):
    """Otherwise its terminals would all go to the others, and stay there for days."""
    await house.open(0, 1)
    house.arrive(4)
    await house.until(lambda: house.lines() == [2, 2])
    crashed = house.workers[1]
    crashed.end(-11)
    await house.until(lambda: house.workers[1] is not crashed)
    house.arrive(4)
    await house.until(lambda: house.lines() == [3, 0])
    house.workers[1].serve()
    await house.until(lambda: house.lines() == [3, 3])
    assert house.counted == (6, 6, 6)


async def test_they_wait_for_a_moment_only(house):
    await house.open(0, 1)
    crashed = house.workers[1]
    crashed.end(-11)
    await house.until(lambda: house.workers[1] is not crashed)
    house.arrive(2)
    await house.until(lambda: house.lines() == [1, 0])
    house.now += EXPECTED_S
    house.team.look(60.0)
    house.arrive(2)
    await house.until(lambda: house.lines() == [4, 0])


async def test_nobody_waits_for_one_that_ended_before_it_served(house):
    await house.open(0, 1)
    crashed = house.workers[1]
    crashed.end(-11)
    await house.until(lambda: house.workers[1] is not crashed)
    house.arrive(2)  # one of them waits, and goes to the other
    failed = house.workers[1]
    failed.end(1)
    await house.until(lambda: house.workers[1] is not failed)
    house.arrive(2)
    await house.until(lambda: house.lines() == [4, 0])


async def test_at_a_start_all_get_their_share(house):
    await house.open(0)
    house.team.begin([1, 2])
    house.team.expect_all()
    house.arrive(6)
    for number in (1, 2):
        await house.serves(number)
    await house.until(lambda: house.lines() == [2, 2, 2])


async def test_a_start_is_complete_when_all_serve(house):
    """B89: then a gateway before this one may leave."""
    await house.open(0, 2)
    assert not house.team.complete.is_set()
    await house.open(1)
    assert house.team.complete.is_set()


async def test_one_that_takes_no_turns_gets_nobody_and_is_killed_in_the_end(house):
    await house.open(0, 1)
    house.workers[1].stand_still()
    still = house.workers[1]
    for times in range(STUCK_AFTER + 1):
        house.team.look(60.0)
        await asyncio.sleep(0)
        await house.until(lambda: house.team.members[0]._unanswered == 0)
        # Once it was killed, and before its end was noticed, the other would get the last one.
        await house.until(lambda: still.status is None or not house.team.members[1].serving)
        if times:
            house.arrive(1)
    await house.until(lambda: still.status == -9)
    # The last one came when the other had just been killed, and mostly waits for its successor.
    await house.until(lambda: house.lines()[0] >= STUCK_AFTER - 1)
    await house.serves(1, still)
    await house.until(lambda: sum(house.lines()) == STUCK_AFTER)
    assert house.metrics.worker_restarts == {"stuck": 1}
    assert house.metrics.workers == 2


async def let_pass(house, questions):
    for _ in range(questions):
        house.team.look(60.0)
        await asyncio.sleep(0)


async def test_one_that_computes_is_killed_only_when_there_is_no_hope(house, monkeypatch):
    """On a busy machine, in a flood of handshakes, it may only be slow."""
    ticks = itertools.count(1)
    monkeypatch.setattr(member, "cpu_ticks", lambda pid: next(ticks))
    await house.open(0)
    slow = house.workers[0]
    slow.stand_still()
    await let_pass(house, HOPELESS_AFTER)
    assert slow.status is None
    await let_pass(house, 1)
    assert slow.status == -9


async def test_of_several_that_stand_still_one_is_killed_at_a_time(house):
    await house.open(0, 1)
    first, second = house.workers[0], house.workers[1]
    first.stand_still()
    second.stand_still()
    await let_pass(house, STUCK_AFTER + 5)
    assert (first.status, second.status) == (-9, None)
    await house.serves(0, first)
    house.now += KILL_EVERY_S
    await let_pass(house, 1)
    assert second.status == -9
    assert house.workers[0].status is None


def test_the_time_that_a_process_has_computed_only_grows():
    before = children.cpu_ticks(os.getpid())
    while children.cpu_ticks(os.getpid()) <= before:
        sum(range(10_000))
    assert children.cpu_ticks(0) == 0


async def test_one_that_answers_late_gets_new_ones_again(house):
    await house.open(0)
    slow = house.workers[0]
    slow.stand_still()
    house.team.look(60.0)
    house.team.look(60.0)
    waiting = house.arrive(2)
    assert not house.team.members[0].takes_turns
    asyncio.get_running_loop().add_reader(slow.link._socket, slow.link._readable)
    await house.until(lambda: house.lines() == [2])
    assert house.team.members[0].takes_turns
    assert len(waiting) == 2
    assert house.metrics.worker_restarts == {}


async def test_newcomers_wait_for_a_worker_as_long_as_a_login_may_take(house):
    terminals = house.arrive(2)
    house.now += 30
    (late,) = house.arrive(1)
    house.team.look(60.0)
    assert house.counted == (3, 3, 3)
    house.now += 31
    house.team.look(60.0)
    assert house.counted == (1, 1, 1)
    assert [terminal.recv(1) for terminal in terminals] == [b"", b""]
    await house.open(0)
    await house.until(lambda: house.lines() == [1])
    await house.until(lambda: not house.team.members[0]._untaken)
    assert late.recv(1) == b""  # taken


async def test_all_follow_a_configuration_and_one_that_cannot_is_replaced(house):
    await house.open(0, 1)
    stays, cannot = house.workers[0], house.workers[1]
    cannot.follows = False
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: None)
    log = house.config.log.model_copy(update={"level": "warning"})
    new = replace(house.config, log=log, listeners=())
    await house.team.follow(new)
    assert stays.config.log.level == "warning"
    assert len(stays.config.listeners) == 1  # until the next start they are what they were
    await house.serves(1, cannot)
    assert house.metrics.worker_restarts == {"stuck": 1}
    assert house.workers[1].config.log.level == "warning"


@pytest.mark.parametrize("now", [None, TlsFiles(Path("new.pem"), Path("new.key"), None)])
async def test_a_worker_that_starts_after_a_reload_has_what_its_listeners_need(house, now):
    """C113: they stay until the next start, and so do the certificates that they need."""
    authority = {Path("ca.pem"): b"the authority"}
    before = TlsFiles(Path("old.pem"), Path("old.key"), Path("ca.pem"), authority)
    await house.team.follow(replace(house.config, tls=before))
    await house.team.follow(replace(house.config, tls=now))
    house.team.begin([0])
    await house.until(lambda: 0 in house.workers)
    assert house.workers[0].config.tls == (
        TlsFiles(now.certificate, now.key, before.client_ca) if now else before
    )
    assert house.workers[0].config.tls.held == authority
    house.workers[0].serve()
    await house.until(lambda: house.team.members[0].takes_turns)


def test_a_worker_has_the_certificates_in_force_whatever_the_files_are_now(tmp_path):
    """C131: else a broken file would leave nobody who serves, one crash after the other."""
    names = ("server.pem", "server.key", "ca.pem")
    authority = trustme.CA()
    made = authority.issue_cert("sip.example.org")
    for name, pem in zip(
        names, (made.cert_chain_pems[0], made.private_key_pem, authority.cert_pem), strict=True
    ):
        pem.write_to_path(tmp_path / name)
    keys = 'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_client_ca = "ca.pem"\n'
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG.replace("[server]\n", f"[server]\n{keys}"))
    config = holding(load_config(path))
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be used"):
        contexts_of(load_config(path))
    contexts = contexts_of(read_config(write_config(config)))
    assert contexts.keys() == {None, "optional", "required"}
    (known,) = contexts["required"].get_ca_certs()
    assert known["subject"] == known["issuer"]
    assert "PRIVATE KEY" not in repr(config)


async def test_a_worker_that_cannot_start_says_which_file_and_why(house, monkeypatch):
    problem = "sip2gw.toml: server.tls_key: server.key cannot be used with tls_certificate"

    def cannot(*_, **__):
        raise ConfigError((problem,))

    store = SimpleNamespace(pin_secret=b"x" * 32)
    monkeypatch.setattr(worker, "open_backend", lambda *_, **__: SimpleNamespace(store=store))
    monkeypatch.setattr(worker, "open_log", lambda *_, **__: house.log)
    monkeypatch.setattr(worker, "Worker", cannot)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = await worker._serve(0, "write", ours, theirs, house.config)
    assert status == 1
    (line,) = house.logged("cannot_start")
    assert line["problems"] == [problem]


async def test_one_that_was_starting_meanwhile_follows_before_it_serves(house):
    await house.open(0)
    house.team.begin([1])
    await house.until(lambda: 1 in house.workers)
    late = house.workers[1]
    log = house.config.log.model_copy(update={"level": "warning"})
    await house.team.follow(replace(house.config, log=log))
    assert late.config.log.level != "warning"
    late.serve()
    await house.until(lambda: house.team.members[1].takes_turns and house.metrics.workers == 2)
    assert late.config.log.level == "warning"


async def test_whoever_starts_late_takes_its_spool_before_connections(house):
    """A gateway before this one may have had it, and without it no payment is taken."""
    await house.open(0)
    house.team.begin([1])
    await house.until(lambda: 1 in house.workers)
    assert house.workers[0].spools == 0
    await house.team.have_spools()
    assert house.workers[0].spools == 1
    late = house.workers[1]
    late.serve()
    await house.until(lambda: house.team.members[1].serving)
    assert late.spools == 1


async def test_a_start_waits_for_all_but_not_for_long(house):
    await house.open(0)
    house.team.begin([1, 2])
    await house.until(lambda: len(house.workers) == 3)
    house.workers[1].serve()
    await house.team.all_serve(0.05)
    assert [one.serving for one in house.team.members] == [True, True, False]
    waiting = asyncio.ensure_future(house.team.all_serve(60.0))
    house.workers[2].serve()
    await waiting
    assert all(one.serving for one in house.team.members)


async def test_all_end_in_peace_and_say_what_they_gave_up(house):
    await house.open(0, 1)
    house.team.begin([2])  # which is only starting
    await house.until(lambda: 2 in house.workers)
    house.workers[1].given_up = ["store"]
    waiting = house.arrive(2)
    await house.until(lambda: house.lines() == [1, 1, 0])
    assert await house.team.end(5.0) == ["store"]
    assert [worker.status for _, worker in sorted(house.workers.items())] == [0, 0, -9]
    assert house.counted == (0, 0, 0)
    assert house.metrics.worker_restarts == {}
    assert len(waiting) == 2


async def test_one_that_does_not_end_is_killed(house):
    await house.open(0)
    house.workers[0].stand_still()
    house.arrive(1)
    assert await house.team.end(0.01) == ["worker 0"]
    assert house.workers[0].status == -9
    assert house.counted == (0, 0, 0)
