"""`explain`: what would be answered, by the real handlers, without a trace (B70, C22)."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.policy.access import CHECK_NAMES

from .conftest import Run

AT = "2026-03-04T19:30"


def explained(sip2gw: Run, config: Path, *options: object) -> list[dict[str, Any]]:
    result = sip2gw("explain", *options, "--json", "--config", config)
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_c22_one_object_per_check_then_the_decision(sip2gw: Run, library: Path) -> None:
    told = explained(sip2gw, library, "--terminal", "door-1", "--card", "P1", "--at", AT)
    *checks, last = told
    assert [check["check"] for check in checks] == list(CHECK_NAMES)
    assert all(set(check) == {"check", "result", "detail"} for check in checks)
    assert set(last) == {"decision", "reason", "answer"}
    assert (last["decision"], last["reason"]) == ("granted", "granted")
    assert last["answer"].startswith("64              00020260304    193000")
    assert "|BLY|CQY|GLONBE|" in last["answer"]


@pytest.mark.parametrize("message", ["23", "63"])
def test_a_refusal_names_its_first_check(sip2gw: Run, library: Path, message: str) -> None:
    options = ("--terminal", "door-1", "--card", "P2", "--message", message, "--at", AT)
    *checks, last = explained(sip2gw, library, *options)
    refused = [check["check"] for check in checks if check["result"] == "refused"]
    assert refused[0] == "age"
    assert (last["decision"], last["reason"]) == ("refused", "under_age")
    assert last["answer"].startswith({"23": "24Y", "63": "64Y"}[message])


def test_c22_a_naive_time_is_branch_local(sip2gw: Run, library: Path) -> None:
    options = ("--terminal", "door-1", "--card", "P1", "--at")
    naive = explained(sip2gw, library, *options, AT)
    assert naive == explained(sip2gw, library, *options, "2026-03-04T18:30:00Z")


def test_c22_an_unknown_card_is_explained_too(sip2gw: Run, library: Path) -> None:
    for terminal in ("door-1", "kiosk-1"):
        *checks, last = explained(sip2gw, library, "--terminal", terminal, "--card", "nobody")
        assert {"card": "refused"}.items() <= {c["check"]: c["result"] for c in checks}.items()
        assert last["reason"] == "unknown_card"


def test_c22_outside_doors_the_reason_is_the_first_block(sip2gw: Run, library: Path) -> None:
    *checks, last = explained(
        sip2gw, library, "--terminal", "kiosk-1", "--card", "P2", "--at", "2026-01-11"
    )
    assert [c["check"] for c in checks if c["result"] == "refused"] == ["fee_limit"]
    assert (last["decision"], last["reason"]) == ("refused", "fee_limit")
    assert "BV12.50" in last["answer"]


def test_a_replaced_card(sip2gw: Run, library: Path) -> None:
    for terminal in ("door-1", "kiosk-1"):
        *checks, last = explained(sip2gw, library, "--terminal", terminal, "--card", "OLD2")
        assert {"card_state": "refused"}.items() <= {
            check["check"]: check["result"] for check in checks
        }.items()
        assert (last["reason"], "|BLN|" in last["answer"]) == ("card_replaced", True)


def test_a_door_that_leads_out_lets_everybody_out(sip2gw: Run, library: Path) -> None:
    text = library.read_text().replace("minimum_age = 16", 'direction = "out"')
    library.write_text(text)
    *checks, last = explained(sip2gw, library, "--terminal", "door-1", "--card", "nobody")
    assert {check["result"] for check in checks} == {"skipped"}
    assert last["decision"] == "granted"


def test_a_terminal_that_may_not_ask(sip2gw: Run, library: Path) -> None:
    check, last = explained(sip2gw, library, "--terminal", "sorter-1", "--card", "P1")
    assert check["detail"] == "message 63 is not served: profiles.sorter.messages"
    assert last["reason"] == "not_allowed"
    assert "|BLN|" in last["answer"]


def test_b70_nothing_is_recorded(sip2gw: Run, library: Path) -> None:
    explained(sip2gw, library, "--terminal", "door-1", "--card", "P1")
    assert sip2gw("door", "log", "--json", "--config", library).out == ""


def test_for_people_the_answer_comes_last(sip2gw: Run, library: Path) -> None:
    options = ("--terminal", "door-1", "--card", "P2", "--at", AT)
    result = sip2gw("explain", *options, "--config", library)
    assert "refused: under_age" in result.out
    assert "age 11, profiles.entrance.door.minimum_age = 16" in result.out


def test_an_unknown_terminal_names_those_that_are(sip2gw: Run, library: Path) -> None:
    result = sip2gw("explain", "--terminal", "x", "--card", "P1", "--config", library)
    assert (result.status, result.out) == (1, "")
    assert "door-1" in result.err


def test_a_time_that_is_none_is_wrong_usage(sip2gw: Run, library: Path) -> None:
    options = ("--terminal", "door-1", "--card", "P1", "--at", "noon")
    assert sip2gw("explain", *options, "--config", library).status == 2


def test_c138_data_that_is_too_old(sip2gw: Run, library: Path) -> None:
    """Imported when the test began: fit for two days, and not for a year."""
    text = library.read_text().replace("[branches.MAIN]", "[branches.MAIN]\ndata_max_age_h = 48")
    library.write_text(text)
    now = explained(sip2gw, library, "--terminal", "door-1", "--card", "P1")[0]
    assert now["result"] == "ok"
    later = ("--terminal", "door-1", "--card", "P1", "--at", "2099-03-04T19:30")
    first, *_, last = explained(sip2gw, library, *later)
    assert (first["check"], first["result"], last["reason"]) == ("terminal", "refused", "system")
    assert first["detail"].endswith("too old or unknown: branches.MAIN.data_max_age_h = 48")


# Terminals that may not even ask (C171)


def with_key(library: Path, line: str) -> None:
    """Write a further key of door-1."""
    text = library.read_text()
    library.write_text(text.replace("[terminals.door-1]", f"[terminals.door-1]\n{line}"))


def test_c171_without_an_address_the_networks_are_shown(sip2gw: Run, library: Path) -> None:
    with_key(library, 'networks = ["10.1.0.0/16", "127.0.0.0/8"]')
    for terminal, networks in (
        ("door-1", '["10.1.0.0/16", "127.0.0.0/8"]'),
        ("kiosk-1", '["0.0.0.0/0", "::/0"]'),
    ):
        first, *_ = explained(sip2gw, library, "--terminal", terminal, "--card", "P1", "--at", AT)
        assert (first["check"], first["result"]) == ("terminal", "ok")
        assert first["detail"].endswith(f"terminals.{terminal}.networks = {networks}")


def test_c171_an_address_is_tried(sip2gw: Run, library: Path) -> None:
    with_key(library, 'networks = ["127.0.0.0/8"]')
    options = ("--terminal", "door-1", "--card", "P1", "--at", AT, "--address")
    first, *_, last = explained(sip2gw, library, *options, "127.0.0.1")
    assert "127.0.0.1 is in terminals.door-1.networks" in first["detail"]
    assert last["reason"] == "granted"
    check, last = explained(sip2gw, library, *options, "192.0.2.1")
    assert (check["check"], check["result"]) == ("terminal", "refused")
    assert check["detail"].startswith("192.0.2.1 is in none of terminals.door-1.networks")
    # It cannot log in: a 94 that says no.
    assert last == {"decision": "refused", "reason": "system", "answer": "940"}


def test_c171_the_name_that_its_certificate_must_have_is_shown(sip2gw: Run, library: Path) -> None:
    for name in ("server", "ca"):
        (library.parent / f"{name}.pem").write_text("")
    keys = 'tls_certificate = "server.pem"\ntls_key = "server.pem"\ntls_client_ca = "ca.pem"\n'
    library.write_text(library.read_text().replace("[server]\n", f"[server]\n{keys}"))
    with_key(library, 'tls_client_name = "door 1"')
    first, *_ = explained(sip2gw, library, "--terminal", "door-1", "--card", "P1", "--at", AT)
    assert first["detail"].endswith('; terminals.door-1.tls_client_name = "door 1"')


def test_c134_a_terminal_without_a_login_is_explained_where_it_is_known(
    sip2gw: Run, library: Path
) -> None:
    with_key(library, 'login_required = false\nnetworks = ["127.0.0.1"]')
    options = ("--terminal", "door-1", "--card", "P1", "--at", AT, "--address")
    first, *_, last = explained(sip2gw, library, *options, "127.0.0.1")
    assert "127.0.0.1 is in terminals.door-1.networks" in first["detail"]
    assert last["reason"] == "granted"
    assert first["detail"].endswith("; terminals.door-1.login_required = false")
    (refused, last) = explained(sip2gw, library, *options, "127.0.0.2")
    assert refused["detail"].startswith("127.0.0.2 is in none of terminals.door-1.networks")
    # It is a stranger there, and its 63 is answered like theirs.
    assert last["answer"].startswith("64YYYY")
    assert "not logged in" in last["answer"]


@pytest.mark.parametrize(("at", "reason"), [(AT, "granted"), ("2026-04-01T00:00", "system")])
def test_c171_a_terminal_that_has_expired(sip2gw: Run, library: Path, at: str, reason: str) -> None:
    with_key(library, "expires = 2026-03-31")
    first, *_, last = explained(sip2gw, library, "--terminal", "door-1", "--card", "P1", "--at", at)
    assert last["reason"] == reason
    assert "terminals.door-1.expires: 2026-04-01 00:00" in first["detail"]
    assert ("|BLN|" in last["answer"]) == (reason == "system")


# Locked PINs (C171)


@pytest.mark.parametrize("terminal", ["door-1", "kiosk-1"])
def test_c171_a_locked_pin_is_the_reason_and_its_end_is_told(
    sip2gw: Run, library: Path, terminal: str
) -> None:
    """On the wire it looks like a wrong PIN."""
    until = datetime.fromisoformat(f"{AT}+01:00") + timedelta(minutes=5)

    async def lock() -> None:
        store = open_backend(load_config(library), "command").store
        await store.record_pin_failure("P1", until - timedelta(minutes=15), 1, until)
        await store.close()

    asyncio.run(lock())
    options = ("--terminal", terminal, "--card", "P1", "--at")
    *checks, last = explained(sip2gw, library, *options, AT)
    pin = next(check for check in checks if check["check"] == "pin")
    assert pin["result"] == "refused"
    assert pin["detail"].startswith("wrong PINs have locked the PIN until Wed 2026-03-04 19:35;")
    assert (last["reason"], "|CQN|" in last["answer"]) == ("pin_locked", True)
    assert explained(sip2gw, library, *options, "2026-03-04T19:35")[-1]["reason"] == "granted"


# Items


@pytest.fixture
def shelf(sip2gw: Run, library: Path) -> Path:
    """FREE can be lent; Dirk has LENT, and Anna waits for it."""
    records = [
        {"kind": "item", "id": "FREE", "title": "Reinaert"},
        {"kind": "item", "id": "LENT", "title": "Tijl", "owner_branch": "MAIN"},
        {
            "kind": "loan",
            "item": "LENT",
            "patron": "P2",
            "checked_out": "2026-03-01",
            "due": "2026-04-01",
        },
        {"kind": "hold", "id": "H1", "patron": "P1", "item": "LENT", "placed": "2026-03-02"},
    ]
    file = library.with_name("shelf.jsonl")
    file.write_text("\n".join(map(json.dumps, records)))
    result = sip2gw("import", file, "--config", library)
    assert result.status == 0, result.err
    return library


@pytest.mark.parametrize(
    ("message", "card", "item", "refused", "reason", "answer"),
    [
        # A loan until the end of a day three weeks later.
        ("11", "P1", "FREE", [], "granted", "121N"),
        ("11", "P1", "NONE", ["item"], "unknown_item", "120N"),
        ("11", "P1", "LENT", ["loan"], "charged_to_other", "120N"),
        ("11", "OLD2", "FREE", ["card_state"], "card_replaced", "120N"),
        ("11", "nobody", "FREE", ["card"], "unknown_card", "120N"),
        ("29", "P2", "LENT", ["waiting", "patron"], "on_hold", "300N"),
        # Somebody waits for it: an alert.
        ("09", "", "LENT", [], "granted", "101YUY"),
        ("15", "P1", "LENT", ["own_hold"], "already_held", "160N"),
        ("15", "P2", "FREE", ["patron"], "blocked", "160N"),
    ],
)
def test_b56_an_item_is_explained_check_by_check(
    sip2gw: Run,
    shelf: Path,
    message: str,
    card: str,
    item: str,
    refused: list[str],
    reason: str,
    answer: str,
) -> None:
    whose = ("--card", card) if card else ()
    asked = ("--terminal", "kiosk-1", *whose, "--item", item, "--message", message, "--at", AT)
    *checks, last = explained(sip2gw, shelf, *asked)
    assert [check["check"] for check in checks if check["result"] == "refused"] == refused
    assert (last["reason"], last["answer"][:4]) == (reason, answer[:4])
    assert last["decision"] == ("refused" if refused else "granted")


def test_b70_nothing_is_lent_or_taken_back(sip2gw: Run, shelf: Path) -> None:
    before = sip2gw("export", "--config", shelf).out
    for message in ("11", "29", "09", "15"):
        options = ("--card", "P1", "--item", "LENT", "--message", message, "--at", AT)
        explained(sip2gw, shelf, "--terminal", "kiosk-1", *options)
    assert sip2gw("export", "--config", shelf).out == before


def test_an_item_without_a_message_is_a_loan(sip2gw: Run, shelf: Path) -> None:
    options = ("--terminal", "kiosk-1", "--card", "P1", "--item", "FREE", "--at", AT)
    result = sip2gw("explain", *options, "--config", shelf)
    assert "\ngranted\nanswer: 121NNY20260304" in result.out
    assert "nobody has it on loan" in result.out


def test_a_locked_pin_keeps_items_back_too(sip2gw: Run, shelf: Path) -> None:
    until = datetime.fromisoformat(f"{AT}+01:00") + timedelta(minutes=5)

    async def lock() -> None:
        store = open_backend(load_config(shelf), "command").store
        await store.record_pin_failure("P1", until - timedelta(minutes=15), 1, until)
        await store.close()

    asyncio.run(lock())
    options = ("--terminal", "kiosk-1", "--card", "P1", "--item", "FREE", "--at", AT)
    *checks, last = explained(sip2gw, shelf, *options)
    results = {check["check"]: check["result"] for check in checks}
    assert (results["pin"], results["item"]) == ("refused", "skipped")
    assert (last["reason"], last["answer"][:3]) == ("pin_locked", "120")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--card", "P1", "--message", "11"), "--message 11 needs --item"),
        (("--card", "P1", "--item", "I", "--message", "63"), "leave --item out"),
        (("--item", "I", "--message", "11"), "--card N is needed"),
        ((), "--card N is needed"),
        (("--card", "P1", "--address", "here"), "--address here is no IP address"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    sip2gw: Run, library: Path, options: tuple[str, ...], said: str
) -> None:
    result = sip2gw("explain", "--terminal", "kiosk-1", *options, "--config", library)
    assert result.status == 2
    assert said in result.err
