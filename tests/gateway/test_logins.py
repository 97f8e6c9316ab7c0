"""What logging in costs those who guess, and all others.  (B11, B12, B14, C100-C102)"""

import asyncio
import contextlib
import gc
import ssl
from datetime import timedelta
from unittest.mock import patch

import pytest
import trustme
from harness import CONFIG, ask_23, running, settled

from sip2gw.backend.base import BackendError
from sip2gw.config import load_config
from sip2gw.foundation.hashing import hash_password
from sip2gw.monitoring.telemetry import STRANGERS_LINES_MAX
from sip2gw.serving.site import build_site
from sip2gw.shared.callers import FAILURES_WINDOW_S, AddressGuard, neighbourhood
from sip2gw.shared.connected import Replacements
from sip2gw.shared.doorkeeper import DESCRIPTORS_RESERVED, STRANGERS_MIN, Doorkeeper

LOGIN = "9300CNkiosk-1|COpw|"
WRONG = "9300CNkiosk-1|COguess|"
HASHED = hash_password(b"pw", memory_kib=8, time_cost=1)
OTHER = hash_password(b"new", memory_kib=8, time_cost=1)
HASHED_CONFIG = CONFIG.replace(
    '[terminals.kiosk-1]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"',
    f'[terminals.kiosk-1]\nprofile = "kiosk"\nbranch = "MAIN"\npassword_hash = "{HASHED}"',
)
BACKOFF = CONFIG.replace("login_backoff_s = 0", "login_backoff_s = 60")
"""The answer to a wrong login is held back for longer than a test takes."""


def with_keys(text, config=CONFIG):
    return config.replace("[terminals.kiosk-1]", f"[terminals.kiosk-1]\n{text}")


# Guesses (C100) -----------------------------------------------------------------------------------


async def test_two_guesses_of_an_address_are_judged_and_the_rest_is_refused_at_once(tmp_path):
    """C100: a held-back answer keeps its place, so more lines are not more guesses."""
    async with running(tmp_path, config=BACKOFF) as gateway:
        judged = gateway.app.gateway.logins._passwords
        hashed = []
        check = judged.check

        async def counted(*arguments):
            hashed.append(arguments[0])
            return await check(*arguments)

        judged.check = counted
        lines = [await gateway.connect() for _ in range(12)]
        for line in lines:
            await line.send(WRONG)
        answers = [asyncio.create_task(line.read()) for line in lines]
        await settled(lambda: sum(task.done() for task in answers) == 10)
        assert len(hashed) == 2
        assert {task.result() for task in answers if task.done()} == {"940"}
        newcomer = await gateway.connect()
        assert await newcomer.ask(WRONG) == "940"
        assert len(hashed) == 2
        for task in answers:
            task.cancel()


async def test_who_hangs_up_has_made_a_guess_and_keeps_its_place(tmp_path):
    async with running(tmp_path, config=BACKOFF) as gateway:
        guard = gateway.app.gateway.logins._guard
        for _ in range(2):
            line = await gateway.connect()
            await line.send(WRONG)
            line.close()
        await settled(lambda: len(guard._caller("127.0.0.1").failures) == 2)
        await settled(lambda: not gateway.app.server._lines)
        assert gateway.metrics.logins == {}
        assert await (await gateway.connect()).ask(WRONG) == "940"
        assert guard._caller("127.0.0.1").judged == 2


async def test_who_goes_on_guessing_is_not_forgotten(tmp_path):
    """Also while none of it is judged."""
    async with running(tmp_path, config=BACKOFF) as gateway:
        for _ in range(2):
            await (await gateway.connect()).send(WRONG)
        guard = gateway.app.gateway.logins._guard
        await settled(lambda: len(guard._caller("127.0.0.1").failures) == 2)
        for _ in range(3):
            gateway.clock.advance(FAILURES_WINDOW_S - 1)
            assert await (await gateway.connect()).ask(WRONG) == "940"


async def test_a_good_login_ends_the_count_of_failed_ones_of_its_line(tmp_path):
    config = CONFIG.replace("[server]", "[server]\nlogin_attempts = 2")
    async with running(tmp_path, config=config) as gateway:
        line = await gateway.connect()
        for request, answer in [(WRONG, "940"), (LOGIN, "941")] * 2:
            assert await line.ask(request) == answer
        for _ in range(2):
            assert await line.ask(WRONG) == "940"
        assert await line.ended()


async def test_a_failed_login_ends_the_one_before(tmp_path):
    async with running(tmp_path) as gateway:
        line = await gateway.terminal("kiosk-1")
        assert await line.ask(WRONG) == "940"
        assert "CQY" not in await line.ask(ask_23("1001", "1001"))


async def test_a_terminal_whose_password_is_known_gets_through_beside_guesses(tmp_path):
    """C9, C100: both places of its address are taken."""
    async with running(tmp_path, config=BACKOFF) as gateway:
        for _ in range(2):
            await (await gateway.connect()).send(WRONG)
        guard = gateway.app.gateway.logins._guard
        await settled(lambda: len(guard._caller("127.0.0.1").failures) == 2)
        line = await gateway.connect()
        assert await line.ask(LOGIN) == "941"
        assert await line.ask(WRONG) == "940"
        assert await line.ask(LOGIN) == "941"


async def test_a_hashed_password_is_hashed_once_even_over_a_restart(tmp_path, monkeypatch):
    """C100: 2,000 kiosks after a restart; the store keeps a keyed digest."""
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        line = await gateway.connect()
        assert await line.ask(WRONG) == "940"
        assert await line.ask(LOGIN) == "941"
        await gateway.app.gateway.logins._passwords._writing
        kept = await gateway.store.known_logins()
        assert set(kept) == {"kiosk-1"}
        assert "pw" not in kept["kiosk-1"]
    monkeypatch.setattr(
        "sip2gw.authentication.verification.verify_password", lambda *_: pytest.fail("hashed")
    )
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        assert await (await gateway.connect()).ask(LOGIN) == "941"


async def test_what_another_gateway_found_right_is_looked_up_in_the_store(tmp_path, monkeypatch):
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        passwords = gateway.app.gateway.logins._passwords
        digest = passwords._digest("kiosk-1", HASHED, "pw")
        await gateway.store.remember_logins({"kiosk-1": digest, "door-1": "other"})
        monkeypatch.setattr(
            "sip2gw.authentication.verification.verify_password", lambda *_: pytest.fail("hashed")
        )
        assert await (await gateway.connect()).ask(LOGIN) == "941"


async def test_a_digest_is_worth_nothing_for_a_changed_password(tmp_path):
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        assert await (await gateway.connect()).ask(LOGIN) == "941"
        await gateway.app.gateway.logins._passwords._writing
    async with running(tmp_path, config=HASHED_CONFIG.replace(HASHED, OTHER)) as gateway:
        line = await gateway.connect()
        assert await line.ask(LOGIN) == "940"
        assert await line.ask(LOGIN.replace("pw", "new")) == "941"


async def test_a_store_that_cannot_keep_the_digest_costs_nothing_but_a_hash(tmp_path):
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        passwords = gateway.app.gateway.logins._passwords

        async def fail(digests=None):
            raise BackendError("away")

        passwords._memory.known_logins = passwords._memory.remember_logins = fail
        assert await (await gateway.connect()).ask(LOGIN) == "941"
        await passwords._writing
        assert passwords._unwritten == {}
        assert await (await gateway.connect()).ask(LOGIN) == "941"


async def test_a_right_password_from_elsewhere_takes_as_long_as_a_wrong_one(tmp_path):
    """B11: the time must not tell that the password was right."""
    config = with_keys('networks = ["10.0.0.0/8"]')
    async with running(tmp_path, config=config) as gateway:
        passwords = gateway.app.gateway.logins._passwords
        hashed = []
        check = passwords.check

        async def counted(*arguments):
            hashed.append(arguments[0])
            return await check(*arguments)

        passwords.check = counted
        line = await gateway.connect()
        assert await line.ask(LOGIN) == "940"
        assert hashed == ["kiosk-1"]


async def test_more_verifications_than_can_be_done_are_refused_and_not_judged(tmp_path):
    async with running(tmp_path) as gateway:
        gateway.app._login_verifier._pending[False] = 256
        line = await gateway.connect()
        assert await line.ask(WRONG) == "940"
        assert gateway.app.gateway.logins._guard._caller("127.0.0.1").failures == type(
            gateway.app.gateway.logins._guard._caller("127.0.0.1").failures
        )(maxlen=3)
        assert not gateway.metrics.backend_errors
        gateway.app._login_verifier._pending[False] = 0


async def test_an_answer_that_is_held_back_beyond_the_deadline_is_a_refusal(tmp_path):
    """It is no fault of the store, and the line ends after so many of them."""
    async with running(tmp_path, config=BACKOFF) as gateway:
        guard, line = gateway.app.gateway.logins._guard, await gateway.connect()
        await line.send(WRONG)
        await settled(lambda: guard._caller("127.0.0.1").failures)
        gateway.clock.advance(6)
        gateway.app.server._sweep()
        assert await line.read() == "940"
        assert gateway.metrics.backend_errors == {}
        assert gateway.metrics.logins == {"refused": 1}
        assert guard._caller("127.0.0.1").judged == 1
        for _ in range(gateway.app.config.server.login_attempts - 2):
            await line.send(WRONG)
            gateway.clock.advance(6)
        gateway.app.server._sweep()
        lines = [one for one in gateway.logged() if one["event"] == "login_refused"]
        assert [one["reason"] for one in lines] == ["unknown_or_wrong_password"]


async def test_an_unknown_login_is_looked_up_like_a_known_one(tmp_path):
    """B11: the time of the look into the store must not tell which logins there are."""
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        looks: list[object] = []
        passwords = gateway.app.gateway.logins._passwords

        async def known_logins():
            looks.append(None)
            return {}

        passwords._memory.known_logins = known_logins
        for login in ("nobody", "kiosk-1", "door-1"):
            gateway.clock.advance(2)
            looks.clear()
            assert await (await gateway.connect()).ask(f"9300CN{login}|COguess|") == "940"
            assert await (await gateway.connect()).ask(f"9300CN{login}|COguess|") == "940"
            assert len(looks) == 1


async def test_a_failing_attempt_of_who_has_gone_disturbs_nobody(tmp_path, caplog):
    async with running(tmp_path) as gateway:
        passwords, judging, fail = gateway.app.gateway.logins._passwords, [], asyncio.Event()

        async def check(*arguments):
            judging.append(arguments)
            await fail.wait()
            raise ValueError("bug")

        passwords.check = check
        line = await gateway.connect()
        await line.send(WRONG)
        await settled(lambda: judging)
        line.close()
        await settled(lambda: not gateway.app.server._lines)
        fail.set()
        logins = gateway.app.gateway.logins
        await settled(lambda: not logins._attempts)
        assert logins._guard._caller("127.0.0.1").judged == 0
        gc.collect()
        assert caplog.records == []


class TestAddressGuard:
    """The places of one address, without a gateway around them."""

    async def test_without_failures_all_get_their_turn(self):
        guard = AddressGuard(lambda: 0.0)
        assert await guard.take_place("a")
        assert await guard.take_place("a")
        third = asyncio.create_task(guard.take_place("a"))
        await asyncio.sleep(0)
        assert not third.done()
        guard.leave_place("a")
        assert await third

    async def test_a_failure_sends_away_who_waits(self):
        guard = AddressGuard(lambda: 0.0)
        for _ in range(2):
            await guard.take_place("a")
        third = asyncio.create_task(guard.take_place("a"))
        await asyncio.sleep(0)
        assert await guard.note_failure("a", 1.0) == 1.0
        assert not await third
        assert not await guard.take_place("a")
        assert await guard.take_place("b")

    async def test_answers_are_held_back_longer_up_to_three_steps(self):
        guard = AddressGuard(lambda: 0.0)
        assert [await guard.note_failure("a", 2.0) for _ in range(4)] == [2.0, 4.0, 6.0, 6.0]

    @pytest.mark.parametrize(
        ("later", "step"), [(FAILURES_WINDOW_S - 1, 2), (FAILURES_WINDOW_S, 1)]
    )
    async def test_old_failures_are_forgotten(self, later, step):
        now = [0.0]
        guard = AddressGuard(lambda: now[0])
        await guard.note_failure("a", 1.0)
        now[0] = later
        assert await guard.note_failure("a", 1.0) == step

    @pytest.mark.parametrize(("later", "waits"), [(299.0, False), (300.0, True)])
    async def test_after_five_minutes_an_address_may_wait_again(self, later, waits):
        now = [0.0]
        guard = AddressGuard(lambda: now[0])
        await guard.note_failure("a", 1.0)
        now[0] = later
        for _ in range(2):
            await guard.take_place("a")
        third = asyncio.create_task(guard.take_place("a"))
        await asyncio.sleep(0)
        assert third.done() is not waits
        third.cancel()

    async def test_the_newest_failure_counts(self):
        now = [0.0]
        guard = AddressGuard(lambda: now[0])
        for now[0] in (0.0, FAILURES_WINDOW_S - 1):
            await guard.note_failure("a", 1.0)
        now[0] = FAILURES_WINDOW_S + 1
        for _ in range(2):
            await guard.take_place("a")
        assert not await guard.take_place("a")

    async def test_who_came_last_is_remembered_longest(self, monkeypatch):
        monkeypatch.setattr("sip2gw.shared.callers.ADDRESSES_MAX", 2)
        guard = AddressGuard(lambda: 0.0)
        for address in ("a", "b", "a", "c"):
            await guard.note_failure(address, 1.0)
        assert set(guard._callers) == {"a", "c"}

    async def test_who_gives_up_waiting_loses_no_place_of_others(self):
        guard = AddressGuard(lambda: 0.0)
        for _ in range(2):
            await guard.take_place("a")
        gone, patient = (asyncio.create_task(guard.take_place("a")) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        guard.leave_place("a")
        assert await patient

    async def test_who_gives_up_in_the_moment_of_getting_a_place_gives_it_back(self):
        guard = AddressGuard(lambda: 0.0)
        for _ in range(2):
            await guard.take_place("a")
        gone = asyncio.create_task(guard.take_place("a"))
        await asyncio.sleep(0)
        guard.leave_place("a")
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert guard._caller("a").judged == 1

    async def test_only_so_many_addresses_are_remembered_but_no_taken_place_forgotten(
        self, monkeypatch
    ):
        monkeypatch.setattr("sip2gw.shared.callers.ADDRESSES_MAX", 2)
        guard = AddressGuard(lambda: 0.0)
        await guard.take_place("busy")
        for address in ("b", "c", "d"):
            await guard.note_failure(address, 1.0)
        assert set(guard._callers) == {"busy", "d"}
        monkeypatch.setattr("sip2gw.shared.callers.ADDRESSES_MAX", 1)
        await guard.take_place("d")
        await guard.take_place("e")
        assert set(guard._callers) == {"busy", "d", "e"}


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_one_customers_network_counts_as_one_address(address, counted_as):
    assert neighbourhood(address) == counted_as


# Lines that may stay (C101) -----------------------------------------------------------------------


async def test_an_expired_terminal_is_refused_and_closed_at_its_next_request(tmp_path):
    """C101: it had logged in before; 2026-03-10 is the last valid day."""
    async with running(tmp_path, config=with_keys("expires = 2026-03-10")) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))
        gateway.clock.advance(timedelta(hours=11, minutes=59).total_seconds())
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))
        gateway.clock.advance(60)
        answer = await kiosk.ask(ask_23("1001", "1001"))
        assert answer.startswith("24YYYY")
        assert "CQN" in answer
        assert await kiosk.ended()


RELOADS = {
    "password": ('password = "pw"', 'password = "new"'),
    "networks": ("[terminals.kiosk-1]", '[terminals.kiosk-1]\nnetworks = ["10.0.0.0/8"]'),
    "location": ("[terminals.kiosk-1]", '[terminals.kiosk-1]\nlocation = "hall"'),
    "login": ("[terminals.kiosk-1]", '[terminals.kiosk-1]\nlogin = "other"'),
}


@pytest.mark.parametrize("change", RELOADS)
async def test_what_a_login_must_show_has_changed_so_the_line_ends(tmp_path, change):
    async with running(tmp_path) as gateway:
        kiosk, door = await gateway.terminal("kiosk-1"), await gateway.terminal("door-1")
        old, new = RELOADS[change]
        before, terminals, after = CONFIG.partition("[terminals.kiosk-1]")
        changed = before + (terminals + after).replace(old, new, 1)
        (tmp_path / "sip2gw.toml").write_text(changed)
        await gateway.app.reload()
        assert await kiosk.ended()
        assert "CQ" in await door.ask(ask_23("1001", "1001"))


async def test_a_reload_that_leaves_the_login_alone_leaves_the_line_alone_twice(tmp_path):
    async with running(tmp_path) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for language in ("nl", "en"):
            changed = CONFIG.replace('language = "en"', f'language = "{language}"')
            (tmp_path / "sip2gw.toml").write_text(changed)
            await gateway.app.reload()
            assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))


async def test_a_password_that_changes_while_it_is_hashed_does_not_let_in(tmp_path):
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        passwords = gateway.app.gateway.logins._passwords
        check = passwords.check

        async def and_reload(*arguments):
            good = await check(*arguments)
            (tmp_path / "sip2gw.toml").write_text(HASHED_CONFIG.replace(HASHED, OTHER))
            await gateway.app.reload()
            return good

        passwords.check = and_reload
        assert await (await gateway.connect()).ask(LOGIN) == "940"


async def test_a_password_that_changes_while_it_is_looked_up_does_not_let_in(tmp_path):
    """C101: the line would go on as it was admitted."""
    async with running(tmp_path) as gateway:
        passwords = gateway.app.gateway.logins._passwords
        is_known = passwords.is_known

        async def and_reload(*arguments):
            good = await is_known(*arguments)
            changed = CONFIG.replace('password = "pw"', 'password = "new"')
            (tmp_path / "sip2gw.toml").write_text(changed)
            await gateway.app.reload()
            return good

        passwords.is_known = and_reload
        line = await gateway.connect()
        assert await line.ask(LOGIN) == "940"
        assert await line.ask(LOGIN.replace("pw", "new")) == "941"


async def test_another_change_in_that_moment_counts_at_once(tmp_path):
    async with running(tmp_path) as gateway:
        passwords = gateway.app.gateway.logins._passwords
        is_known = passwords.is_known

        async def and_reload(*arguments):
            good = await is_known(*arguments)
            (tmp_path / "sip2gw.toml").write_text(CONFIG.replace('"HUB"', '"OTHER"'))
            await gateway.app.reload()
            return good

        passwords.is_known = and_reload
        line = await gateway.connect()
        assert await line.ask(LOGIN) == "941"
        assert "|AOOTHER|" not in await line.ask(ask_23("1001", "1001"))


# Newcomers (B14, C100, C101) ----------------------------------------------------------------------


async def test_an_address_that_no_terminal_has_is_closed_at_accept(tmp_path):
    config = CONFIG.replace('password = "pw"', 'password = "pw"\nnetworks = ["10.0.0.0/8"]')
    async with running(tmp_path, config=config) as gateway:
        assert await (await gateway.connect()).ended()
        assert gateway.metrics.connections_refused == {"network": 1}


def told(keeper, address):
    """What a newcomer from `address` would be told."""
    if not keeper.take_place():
        return "total"
    obstacle = keeper.obstacle(address)
    keeper.leave_place()
    return obstacle


def come(keeper, address):
    assert keeper.take_place()
    keeper.enter(address)


def go(keeper, address, *, stranger):
    keeper.leave_place()
    keeper.leave(address, stranger=stranger)


class TestDoorkeeper:
    """Which newcomers find a place, without sockets."""

    def keeper(self, tmp_path, *, descriptors=1_000_000, config=CONFIG):
        path = tmp_path / "sip2gw.toml"
        path.write_text(config)
        limits = load_config(path).server
        return Doorkeeper(lambda: limits, lambda: descriptors)

    def test_the_places_are_those_that_the_system_leaves(self, tmp_path):
        keeper = self.keeper(tmp_path, descriptors=DESCRIPTORS_RESERVED + 3)
        for number in range(3):
            assert told(keeper, "10.0.0.1") == ""
            come(keeper, f"10.0.1.{number}")
        assert told(keeper, "10.0.0.1") == "total"
        go(keeper, "10.0.1.0", stranger=True)
        assert told(keeper, "10.0.0.1") == ""

    def test_one_address_has_a_share_of_the_places_until_its_lines_log_in(self, tmp_path):
        # The twenty-first finds eighty places free, of which twenty are a quarter.
        keeper = self.keeper(tmp_path, descriptors=DESCRIPTORS_RESERVED + 5 * 20)
        for _ in range(20):
            assert told(keeper, "10.0.0.1") == ""
            come(keeper, "10.0.0.1")
        assert told(keeper, "10.0.0.1") == "strangers"
        assert told(keeper, "10.0.0.2") == ""
        keeper.recognise("10.0.0.1")
        assert told(keeper, "10.0.0.1") == ""
        go(keeper, "10.0.0.1", stranger=False)
        assert told(keeper, "10.0.0.1") == ""
        come(keeper, "10.0.0.1")
        assert told(keeper, "10.0.0.1") == "strangers"
        go(keeper, "10.0.0.1", stranger=True)
        assert told(keeper, "10.0.0.1") == ""

    def test_many_addresses_together_cannot_take_all_places(self, tmp_path):
        keeper = self.keeper(tmp_path, descriptors=DESCRIPTORS_RESERVED + 1_000)
        for number in range(8):
            while told(keeper, f"10.0.0.{number}") == "":
                come(keeper, f"10.0.0.{number}")
        assert told(keeper, "10.0.0.9") == ""
        assert 1_000 - keeper._lines > 150

    def test_a_small_system_still_has_some_places_for_each(self, tmp_path):
        keeper = self.keeper(tmp_path, descriptors=DESCRIPTORS_RESERVED + STRANGERS_MIN + 2)
        for _ in range(STRANGERS_MIN):
            assert told(keeper, "10.0.0.1") == ""
            come(keeper, "10.0.0.1")
        assert told(keeper, "10.0.0.1") == "strangers"

    def test_the_cap_of_an_address_counts_all_its_lines(self, tmp_path):
        config = CONFIG.replace("[server]", "[server]\nmax_connections_per_address = 1")
        keeper = self.keeper(tmp_path, config=config)
        come(keeper, "10.0.0.1")
        keeper.recognise("10.0.0.1")
        assert told(keeper, "10.0.0.1") == "address"
        go(keeper, "10.0.0.1", stranger=False)
        assert told(keeper, "10.0.0.1") == ""


def test_what_is_known_of_addresses_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("sip2gw.serving.site.ADDRESSES_REMEMBERED_MAX", 2)
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG.replace('password = "pw"', 'password = "pw"\nnetworks = ["10.0.0.0/8"]'))
    expected = build_site(load_config(path), frozenset()).expected
    answers = [expected.includes(address) for address in ("10.0.0.1", "11.0.0.1", "10.0.0.1")]
    assert answers == [True, False, True]
    assert not expected.includes("12.0.0.1")
    assert len(expected._known) <= 2


# Lines that share a login (C102) ------------------------------------------------------------------


async def test_services_that_only_ask_may_open_a_line_for_each_question(gateway):
    lines = [await gateway.terminal("desk-1") for _ in range(5)]
    for line in lines:
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
    assert gateway.metrics.terminal_replaced == {}


async def test_two_machines_with_one_login_are_noticed(gateway):
    """Each logs in again as soon as the other has thrown it out."""
    for _ in range(4):
        await gateway.terminal("kiosk-1")
    assert gateway.metrics.terminal_replaced == {"kiosk-1": 3}
    warnings = [line for line in gateway.logged() if line["event"] == "login_shared"]
    assert [line["terminal"] for line in warnings] == ["kiosk-1"]
    assert warnings[0]["addresses"] == ["127.0.0.1"]


async def test_a_line_that_is_still_busy_is_replaced_once(gateway):
    """It goes when its request has been answered; who comes meanwhile does not find it again."""
    asked, answer = asyncio.Event(), asyncio.Event()
    backend = gateway.app.gateway.backend
    find = backend.find_by_card

    async def slowly(card):
        asked.set()
        await answer.wait()
        return await find(card)

    busy = await gateway.terminal("kiosk-1")
    backend.find_by_card = slowly
    await busy.send(ask_23("1001", "1001"))
    await asked.wait()
    for _ in range(2):
        line = await gateway.terminal("kiosk-1")
    assert gateway.metrics.terminal_replaced == {"kiosk-1": 2}
    answer.set()
    assert "CQY" in await busy.read()
    assert await busy.ended()
    assert "CQY" in await line.ask(ask_23("1001", "1001"))


async def test_a_line_that_is_going_replaces_nobody(tmp_path):
    """It was replaced while it logged in again."""
    async with running(tmp_path, config=HASHED_CONFIG) as gateway:
        first = await gateway.terminal("kiosk-1")
        passwords = gateway.app.gateway.logins._passwords
        check, asked, answer = passwords.check, asyncio.Event(), asyncio.Event()
        passwords._known.clear()

        async def slowly(*arguments):
            asked.set()
            await answer.wait()
            return await check(*arguments)

        passwords.check = slowly
        await first.send(LOGIN)
        await asked.wait()
        passwords.check = check
        second = await gateway.terminal("kiosk-1")
        answer.set()
        assert await first.read() == "941"
        assert await first.ended()
        assert "CQY" in await second.ask(ask_23("1001", "1001"))
        assert gateway.metrics.connections == {"": 0, "kiosk": 1}


async def test_a_machine_that_comes_back_after_silence_is_no_sharing(gateway):
    for _ in range(4):
        await gateway.terminal("kiosk-1")
        gateway.clock.advance(121)
    assert gateway.metrics.terminal_replaced == {}


@pytest.mark.parametrize(("apart", "noticed"), [(299, True), (300, False)])
def test_three_times_within_ten_minutes(apart, noticed):
    replacements = Replacements()
    times = [0, apart, 2 * apart]
    assert [replacements.note("t", at, at) for at in times] == [False, False, noticed]


def test_it_is_said_once_for_three_times():
    replacements = Replacements()
    said = [replacements.note("t", at, at) for at in range(7)]
    assert said == [False, False, True, False, False, True, False]
    assert not replacements.note("other", 7, 7)


# The log ------------------------------------------------------------------------------------------


async def test_a_flood_of_strangers_is_summed_up(tmp_path):
    """C100: each of these would write three lines."""
    async with running(tmp_path) as gateway:
        gateway.app.server._sweeper.cancel()  # sums up once a second; here the test does
        for _ in range(STRANGERS_LINES_MAX):
            line = await gateway.connect()
            assert await line.ask(ask_23("1001")) != ""
            assert await line.ask(WRONG) == "940"
            line.close()
        gateway.app.log.sum_up()
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(ask_23("1001", "1001"))
        lines = gateway.logged()
        about = [line for line in lines if line.get("terminal", "kiosk-1") != "kiosk-1"]
        about += [line for line in lines if line.get("reason") == "unknown_or_wrong_password"]
        assert len(about) <= 2 * STRANGERS_LINES_MAX
        (summary,) = [line for line in lines if line["event"] == "lines_summed_up"]
        counts = summary["lines"]
        assert counts["request 23"] + counts["request 93"] > STRANGERS_LINES_MAX // 2
        assert counts["login_refused unknown_or_wrong_password"] > 0
        assert [line["message"] for line in lines if line["event"] == "request"][-1] == "23"


# TLS (C101) ---------------------------------------------------------------------------------------


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def tls_config(tmp_path, authority):
    """A configuration whose terminals show certificates; kiosk-1 one with the name k1."""
    server = authority.issue_cert("127.0.0.1")
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    keys = 'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_client_ca = "ca.pem"\n'
    return with_keys('tls_client_name = "k1"', CONFIG.replace("[server]\n", f"[server]\n{keys}"))


def client(authority, name):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert(name).configure_cert(context)
    return context


async def over_tls(gateway, context):
    reader, writer = await asyncio.open_connection(*gateway.address, ssl=context)
    terminal = type(await gateway.connect())(reader, writer)
    gateway.terminals.append(terminal)
    return terminal


async def test_a_terminal_over_tls_is_known_by_its_certificate(tmp_path, authority, tls_config):
    async with running(tmp_path, config=tls_config) as gateway:
        kiosk = await over_tls(gateway, client(authority, "k1"))
        assert await kiosk.ask(LOGIN) == "941"
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))
        other = await over_tls(gateway, client(authority, "k2"))
        assert await other.ask(LOGIN) == "940"


async def test_another_certificate_name_ends_the_line(tmp_path, authority, tls_config):
    async with running(tmp_path, config=tls_config) as gateway:
        kiosk = await over_tls(gateway, client(authority, "k1"))
        assert await kiosk.ask(LOGIN) == "941"
        (tmp_path / "sip2gw.toml").write_text(tls_config.replace('"k1"', '"k2"'))
        await gateway.app.reload()
        assert await kiosk.ended()


async def test_a_frame_right_behind_the_handshake_is_answered(tmp_path, authority, tls_config):
    async with running(tmp_path, config=tls_config) as gateway:
        kiosk = await over_tls(gateway, client(authority, "k1"))
        await kiosk.send(LOGIN)
        await kiosk.send("9900302.00")
        assert await kiosk.read() == "941"
        assert (await kiosk.read()).startswith("98Y")


async def test_lines_that_never_shake_hands_count_and_time_out(tmp_path, authority, tls_config):
    """C101: caps and the login time-out count from accept."""
    config = tls_config.replace("[server]", "[server]\nmax_connections_per_address = 2")
    async with running(tmp_path, config=config) as gateway:
        silent = [await gateway.connect() for _ in range(2)]
        refused = await gateway.connect()
        assert await refused.ended()
        assert gateway.metrics.connections_refused == {"address": 1}
        gateway.clock.advance(61)
        gateway.app.server._sweep()
        assert await silent[0].ended()
        assert await silent[1].ended()
        assert gateway.metrics.connections[""] == 0
        kiosk = await over_tls(gateway, client(authority, "k1"))
        assert await kiosk.ask(LOGIN) == "941"


@pytest.mark.parametrize("words", [b"9300CNkiosk-1|COpw|\r", b"\x16\x03\x01\x00\x05hello", b""])
async def test_who_speaks_no_tls_is_closed_and_forgotten(tmp_path, authority, tls_config, words):
    async with running(tmp_path, config=tls_config) as gateway:
        line = await gateway.connect()
        if words:
            await line.send(words)
            while await line.reader.read(1000):
                pass
        else:
            line.close()
        await settled(lambda: gateway.metrics.connections[""] == 0)
        assert gateway.app.server._lines == {}


@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("reset")])
async def test_whatever_fails_in_a_handshake_the_place_is_free_again(
    tmp_path, authority, tls_config, error
):
    async with running(tmp_path, config=tls_config) as gateway:
        loop = asyncio.get_running_loop()
        with patch.object(loop, "connect_accepted_socket", side_effect=error):
            line = await gateway.connect()
            with contextlib.suppress(ConnectionError):
                assert await line.ended()
        assert gateway.app.server._lines == {}
        assert gateway.metrics.connections[""] == 0
        assert gateway.app.server._doorkeeper._lines == 0


async def test_who_shows_no_certificate_is_not_let_in(tmp_path, authority, tls_config):
    async with running(tmp_path, config=tls_config) as gateway:
        context = ssl.create_default_context()
        authority.configure_trust(context)

        async def log_in():
            return await (await over_tls(gateway, context)).ask(LOGIN)

        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await log_in()
        await settled(
            lambda: not any(line.terminal_name for line in gateway.app.server._lines.values())
        )
