"""`upstream check` and `upstream status` at the command line (B80, C157)."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import running

from sip2gw.backend.system import AccountState
from sip2gw.cli.upstream.card import card_findings
from sip2gw.cli.upstream.findings import findings
from sip2gw.cli.upstream.probing import probe
from sip2gw.config import Address, load_config
from sip2gw.config.tables.upstream import Account
from sip2gw.control.client import RefusedError
from sip2gw.control.messages import UpstreamAccounts
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.protocol.timestamps import read_timestamp

from .conftest import CONFIGURATION, Run
from .upstream_library import library

BACKEND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:{port}"
login = "gateway"
password = "canary"
timeout_s = 0.5
institution = "ELSEWHERE"
"""


def configured(tmp_path: Path, port: int, more: str = "") -> Path:
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIGURATION + BACKEND.format(port=port) + more)
    return file


def test_findings_go_to_people_and_the_configuration_to_a_file(sip2gw: Run, tmp_path: Path) -> None:
    with library() as there:
        result = sip2gw("upstream", "check", "--config", configured(tmp_path, there.port))
    assert result.status == 0
    assert "  institution     warning: AO of its 98 is 'TOWN', configured is" in result.err
    assert "  login           works with 93 first, then 99\n" in result.err
    assert tomllib.loads(result.out)["backend"]["sip2"]["institution"] == "TOWN"


def test_what_was_printed_is_valid_and_leaves_nothing_to_warn_of(
    sip2gw: Run, tmp_path: Path
) -> None:
    more = '[backend.sip2.accounts."the east"]\nlogin = "e"\n'
    with library() as there:
        first = sip2gw(
            "upstream", "check", "--card", "1001", "--config",
            configured(tmp_path, there.port, more),
        )  # fmt: skip
        again = tmp_path / "again.toml"
        pasted = first.out.replace('password = ""', 'password = "canary"')
        again.write_text(CONFIGURATION + pasted)
        result = sip2gw("upstream", "check", "--json", "--card", "1001", "--config", again)
    accounts = load_config(again).accounts
    assert {name: one.institution for name, one in accounts.items()} == {
        "default": "TOWN",
        "the east": "TOWN",
    }
    assert accounts["the east"].facts == PRESETS["koha"].facts
    for line in result.out.splitlines():
        told = json.loads(line)
        assert told["works"]
        assert [one for one in told["findings"] if one["level"] in ("warning", "problem")] == []
        assert tomllib.loads(told["toml"]) == tomllib.loads(first.out)


def test_what_was_pasted_without_the_password_logs_in_nowhere(sip2gw: Run, tmp_path: Path) -> None:
    """A library system would lock the account."""
    with library() as there:
        first = sip2gw("upstream", "check", "--config", configured(tmp_path, there.port))
        again = tmp_path / "again.toml"
        again.write_text(CONFIGURATION + first.out)
        result = sip2gw("upstream", "check", "--config", again)
    assert (result.status, "backend.sip2.password" in result.err) == (2, True)


def test_no_secret_and_no_person_is_shown(sip2gw: Run, tmp_path: Path) -> None:
    with library() as there:
        config = configured(tmp_path, there.port)
        for option in ((), ("--json",)):
            result = sip2gw("upstream", "check", *option, "--card", "1001", "--config", config)
            for hidden in ("canary", "Anna", "Claes", "19800501", "1001"):
                assert hidden not in result.out + result.err
    assert b"COcanary" in there.heard[0]


def test_a_message_has_the_time_of_the_library(sip2gw: Run, tmp_path: Path) -> None:
    """On Kiritimati it is 14 hours later than UTC, wherever the command runs."""
    with library() as there:
        config = configured(tmp_path, there.port)
        text = config.read_text()
        config.write_text(re.sub(r'timezone = ".*"', 'timezone = "Pacific/Kiritimati"', text))
        assert "Kiritimati" in config.read_text()
        sip2gw("upstream", "check", "--card", "1001", "--config", config)
    (asked,) = (frame for frame in there.heard if frame.startswith(b"63"))
    said = read_timestamp(asked[5:23].decode(), ZoneInfo("Pacific/Kiritimati"))
    assert said is not None
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=5)


def test_only_the_account_that_is_named_is_tried(sip2gw: Run, tmp_path: Path) -> None:
    with library() as there:
        config = configured(tmp_path, there.port, '[backend.sip2.accounts.east]\nlogin = "e"\n')
        result = sip2gw("upstream", "check", "--account", "east", "--config", config)
        unknown = sip2gw("upstream", "check", "--account", "west", "--config", config)
    assert [frame[4:8] for frame in there.heard if frame.startswith(b"93")] == [b"CNe|"]
    assert result.status == 0
    assert unknown.status == 2
    assert "--account west: no such account; configured: default, east" in unknown.err


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"_93": b"940"}, "Check login and password"),
        ({"_93": b"", "_99": b""}, "no answer came in time"),
        ({"greeting": b"login: \r"}, "what came is not SIP2"),
    ],
)
def test_one_that_does_not_work_is_1_and_says_what_to_do(
    sip2gw: Run, tmp_path: Path, answers: Any, told: str
) -> None:
    with library(**answers) as there:
        config = configured(tmp_path, there.port)
        result = sip2gw("upstream", "check", "--config", config)
        as_json = sip2gw("upstream", "check", "--json", "--config", config)
    assert (result.status, result.out) == (1, "")
    assert told in result.err
    assert "what to do" in result.err
    assert as_json.status == 1
    said = json.loads(as_json.out)
    assert (said["works"], said["toml"]) == (False, None)


def test_without_a_library_system_there_is_nothing_to_check(sip2gw: Run, config: Path) -> None:
    result = sip2gw("upstream", "check", "--config", config)
    assert (result.status, result.out) == (1, "")
    assert "write its address and login in [backend.sip2]" in result.err


async def test_a_gateway_of_ours_is_a_library_system_too(tmp_path: Path) -> None:
    """What a gateway says is read like any other's."""
    async with running(tmp_path) as gateway:
        account = Account(
            "default",
            Address(*gateway.address),
            "kiosk-1",
            gateway.app.config.terminals["kiosk-1"].password,
            institution="HUB",
            facts=PRESETS["koha"].facts,
        )
        now = datetime.now(UTC)
        seen = await asyncio.to_thread(probe, account, "1001", now)
    said = {one.about: one for one in [*findings(seen, now), *card_findings(seen, "EUR")]}
    assert [one for one in said.values() if one.level in ("warning", "problem")] == []
    assert said["institution"].text == "AO is 'HUB', as configured"
    assert said["patrons"].text == "a 63 is answered"
    assert said["PB"].text == "not in the answer: birth_date is unknown"  # a kiosk gets none
    assert said["AE"].text == "personal name: xxxx xxxxxxx"


# The running gateway ----------------------------------------------------------------------------

STATES = [
    AccountState("default", "up", 3, 2, 0, "closed", 41.5),
    AccountState("east", "refused", 0, 0, 7, "open", None),
]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play a running gateway that says one thing."""

    def says(said: Any) -> None:
        class Gateway:
            def __init__(self, path: Path) -> None: ...

            def __enter__(self) -> Gateway:
                return self

            def __exit__(self, *failure: object) -> None: ...

            def ask(self, request: object, within_s: float) -> Any:
                if isinstance(said, Exception):
                    raise said
                return said

        monkeypatch.setattr("sip2gw.control.client.Control", Gateway)

    return says


def test_c157_each_account_has_its_keys(sip2gw: Run, config: Path, says: Any) -> None:
    says(UpstreamAccounts(STATES))
    result = sip2gw("upstream", "status", "--json", "--config", config)
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"account": "default", "state": "up", "open": 3, "idle": 2, "waiting": 0,
         "breaker": "closed", "latency_ms": 41.5},
        {"account": "east", "state": "refused", "open": 0, "idle": 0, "waiting": 7,
         "breaker": "open", "latency_ms": None},
    ]  # fmt: skip


def test_people_get_a_table(sip2gw: Run, config: Path, says: Any) -> None:
    says(UpstreamAccounts(STATES))
    result = sip2gw("upstream", "status", "--config", config)
    rows = result.out.splitlines()
    assert rows[1].split() == ["default", "up", "3", "2", "0", "closed", "41.5"]
    assert rows[2].split() == ["east", "refused", "0", "0", "7", "open"]
    assert result.err == (
        "east is refused: the log says why (upstream_refused), and what to do says"
        " `sip2gw upstream check --account east`\n"
    )


def test_a_gateway_that_is_the_library_says_so(sip2gw: Run, config: Path, says: Any) -> None:
    says(RefusedError("there is no library system behind this gateway"))
    result = sip2gw("upstream", "status", "--config", config)
    assert (result.status, result.out) == (1, "")
    assert "no library system" in result.err
