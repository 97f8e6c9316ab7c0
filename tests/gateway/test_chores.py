"""What the gateway looks at by itself, and what a reload shows in the metrics (B67)."""

import asyncio
from datetime import timedelta

import pytest
from harness import CONFIG, LIBRARY, NOON, ask_23, load, person, running

from sip2gw.backend.base import UnavailableError
from sip2gw.monitoring.metrics import FamilyMaker


def shown(gateway, name):
    """The samples of `sip2gw_<name>`: a number, or numbers by their only label."""
    families = FamilyMaker(gateway.metrics).families()
    (family,) = (one for one in families if one.name == f"sip2gw_{name}")
    if family.labels:
        return {labels[0]: value for _, labels, value in family.samples}
    return family.samples[0][2] if family.samples else None


PEOPLE = sum(record["kind"] == "patron" for record in LIBRARY)


async def test_figures_of_the_store_are_not_known_before_they_were_looked_at(gateway):
    """But for the age of the data, by which doors may go from the first card on (C138)."""
    assert shown(gateway, "store_last_import_timestamp_seconds") == NOON.timestamp()
    for name in ("store_patrons", "store_disk_free_bytes"):
        assert shown(gateway, name) is None
    await gateway.app.store_chore.look()
    assert shown(gateway, "store_patrons") == PEOPLE
    assert shown(gateway, "store_disk_free_bytes") > 0


async def test_a_store_that_was_never_imported_to_shows_0(tmp_path):
    async with running(tmp_path, records=()) as gateway:
        await gateway.app.store_chore.look()
        assert shown(gateway, "store_last_import_timestamp_seconds") == 0
        assert shown(gateway, "store_patrons") == 0


async def test_patrons_are_counted_after_an_import_and_once_an_hour(gateway, monkeypatch):
    counted = []
    count = gateway.store.count_patrons

    async def count_and_note():
        counted.append(await count())
        return counted[-1]

    monkeypatch.setattr(gateway.store, "count_patrons", count_and_note)
    look = gateway.app.store_chore.look
    await look()
    await look()
    assert counted == [PEOPLE]
    load(gateway.store, [person("1099", "Nora New")], now=NOON + timedelta(minutes=1))
    await look()
    assert counted == [PEOPLE, PEOPLE + 1]
    gateway.clock.advance(3599)
    await look()
    assert len(counted) == 2
    gateway.clock.advance(1)
    await look()
    assert counted[2:] == [PEOPLE + 1]
    assert shown(gateway, "store_patrons") == PEOPLE + 1


async def test_figures_that_cannot_be_had_stay_and_the_failure_is_told(gateway, monkeypatch):
    await gateway.app.store_chore.look()

    async def fail():
        raise UnavailableError("the disk is away")

    monkeypatch.setattr(gateway.store, "last_import", fail)
    await gateway.app.store_chore.look()
    assert shown(gateway, "store_patrons") == PEOPLE
    assert gateway.metrics.backend_errors == {("figures", "unavailable"): 1}
    assert gateway.app.gateway.backend_up, "only what terminals need makes the store be down"
    told = next(line for line in gateway.logged() if line["event"] == "figures_failed")
    assert told["problem"] == "the disk is away"


@pytest.mark.parametrize(
    ("jump", "steps"), [(1.0, 0), (1.001, 1), (-1.0, 0), (-1.001, 1), (3600, 1), (-86400, 1)]
)
async def test_a_jump_of_the_wall_clock_by_more_than_a_second_is_a_step(gateway, jump, steps):
    clock, chore = gateway.clock, gateway.app.clock_chore
    offset = 0.0
    clock.epoch = lambda: clock.at + offset
    clock.advance(5)  # both go on
    await chore.look()
    offset = jump
    await chore.look()
    await chore.look()  # the same jump is not counted twice
    assert shown(gateway, "clock_steps") == steps
    told = [line["seconds"] for line in gateway.logged() if line["event"] == "clock_stepped"]
    assert told == [jump] * steps


async def test_slewing_is_no_step_however_far_it_gets(gateway):
    clock, chore = gateway.clock, gateway.app.clock_chore
    ahead = 0.0
    clock.epoch = lambda: clock.at + ahead
    for _ in range(10):
        ahead += 0.5
        await chore.look()
    assert shown(gateway, "clock_steps") == 0


MORE = (
    CONFIG + '[profiles.spare]\nkind = "auth"\n[terminals.new]\nprofile = "desk"\npassword = "pw"\n'
)
LESS = CONFIG.replace("[terminals.pay-3]", "[terminals.pay-4]")


async def test_each_configured_terminal_has_its_series_from_the_start_and_a_reload_is_followed(
    tmp_path,
):
    async with running(tmp_path) as gateway:
        names = set(gateway.app.gateway.site.by_name)
        assert shown(gateway, "terminal_last_message_timestamp_seconds") == dict.fromkeys(names, 0)
        assert shown(gateway, "terminal_replaced") == dict.fromkeys(names, 0)
        assert shown(gateway, "terminals_configured")["entrance"] == 3
        pay = await gateway.terminal("pay-3")
        await pay.ask(ask_23("1001"))
        last = shown(gateway, "terminal_last_message_timestamp_seconds")
        assert {name: at for name, at in last.items() if at} == {"pay-3": NOON.timestamp()}
        (tmp_path / "sip2gw.toml").write_text(MORE)
        await gateway.app.reload()
        assert shown(gateway, "terminal_last_message_timestamp_seconds") == {**last, "new": 0}
        assert shown(gateway, "terminals_configured") == {
            "kiosk": 1,
            "cash": 1,
            "separate": 1,
            "alone": 1,
            "desk": 2,
            "entrance": 3,
            "facts": 1,
            "exit": 1,
            "spare": 0,
        }
        (tmp_path / "sip2gw.toml").write_text(LESS)
        await gateway.app.reload()
        last = shown(gateway, "terminal_last_message_timestamp_seconds")
        assert "pay-3" not in last
        assert last["pay-4"] == 0


async def test_a_reload_says_whether_and_when(tmp_path):
    async with running(tmp_path) as gateway:
        at = "config_last_reload_timestamp_seconds"
        assert shown(gateway, "config_last_reload_successful") == 1
        assert shown(gateway, at) == NOON.timestamp()
        for seconds, config, ok in ((60, "nonsense", 0), (120, CONFIG, 1)):
            gateway.clock.advance(60)
            (tmp_path / "sip2gw.toml").write_text(config)
            await gateway.app.reload()
            assert shown(gateway, "config_last_reload_successful") == ok
            assert shown(gateway, at) == NOON.timestamp() + seconds


async def test_the_state_of_the_store_is_shown(gateway, monkeypatch):
    async def fail():
        raise UnavailableError("away")

    assert shown(gateway, "backend_up") == 1
    monkeypatch.setattr(gateway.app.gateway.backend, "ping", fail)
    await gateway.app.gateway.check_backend()
    assert shown(gateway, "backend_up") == 0


async def test_closed_sets_of_labels_begin_at_0(gateway):
    """Else `increase()` in an alert would not see the first event."""
    assert shown(gateway, "logins") == {"ok": 0, "refused": 0}
    assert shown(gateway, "payments_refused_amount") == {"EUR": 0, "other": 0}
    assert set(shown(gateway, "payments")) == {"booked", "replayed", "refused", "unknown"}
    gateway.metrics.frames_rejected["of another day"] += 1
    assert shown(gateway, "frames_rejected")["of another day"] == 1, "none is ever left out"


async def test_a_recurring_task_that_failed_is_due_again(tmp_path):
    """One fault must not end for good what retention, notices or metrics hang on."""
    tried, again = 0, asyncio.Event()

    async def fail_first():
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ValueError("4711")
        again.set()

    failures: list[dict[str, object]] = []
    async with running(tmp_path) as gateway:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told))
        gateway.app.repeat(fail_first, 0, 0.001)
        async with asyncio.timeout(60):
            await again.wait()
    asyncio.get_running_loop().set_exception_handler(None)
    assert [str(told["exception"]) for told in failures] == ["4711"]


async def test_a_door_that_refuses_for_old_data_goes_by_an_import_at_once(tmp_path):
    """C62, C138: whoever has imported need not wait for the door."""
    config = CONFIG.replace("max_fee_age_days = 49", "data_max_age_h = 23")
    async with running(tmp_path, config=config) as gateway:
        for recurring in gateway.app._regular():
            gateway.app.repeat(*recurring)
        door = await gateway.terminal("door-1")
        gateway.clock.advance(24 * 3600)
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")
        await asyncio.to_thread(load, gateway.store, LIBRARY[:1], now=gateway.clock.now())
        async with asyncio.timeout(10):
            while (await door.ask(ask_23("1001", "1001"))).startswith("24Y"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
