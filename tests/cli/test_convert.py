"""`convert-config` at the command line; what it converts is tested in tests/convert."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from sip2gw.config import load_config
from sip2gw.convert import sipconfig
from sip2gw.convert.draft import Draft
from sip2gw.convert.upstream import Login, stand_before
from sip2gw.foundation.hashing import hash_password
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.serving.site import build_site

from .conftest import Run

SAMPLES = Path(__file__).parents[1] / "convert" / "samples"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    def cheap(password: bytes) -> str:
        return hash_password(password, memory_kib=8, time_cost=1)

    monkeypatch.setattr(sipconfig, "hash_password", cheap)


def test_the_configuration_goes_to_standard_output_and_the_rest_to_people(sip2gw: Run) -> None:
    result = sip2gw("convert-config", SAMPLES / "koha.xml")
    assert result.status == 0
    assert tomllib.loads(result.out)["institution"]["id"] == "NORTH"
    notes = result.err.splitlines()
    assert notes[-1] == f"{len(notes) - 1} options were not carried over; see the comments."
    assert "account all: allow_empty_passwords: refused: an empty PIN is never" in result.err
    assert "every-option" not in result.out + result.err


def test_what_was_written_passes_check(sip2gw: Run, tmp_path: Path) -> None:
    file = tmp_path / "sip2gw.toml"
    edge = [SAMPLES / name for name in ("sip2.conf", "tenants.conf", "folio.json")]
    assert sip2gw("convert-config", *edge, "--output", file).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    result = sip2gw("check", "--config", file)
    assert (result.status, "2 profiles" in result.err) == (0, True), result.err


def test_a_file_that_is_there_is_kept(sip2gw: Run, tmp_path: Path) -> None:
    file = tmp_path / "sip2gw.toml"
    file.write_text("mine")
    result = sip2gw("convert-config", SAMPLES / "evergreen.xml", "--output", file)
    assert (result.status, file.read_text()) == (1, "mine")
    assert result.err.endswith("already exists and was left unchanged; name another file\n")


def test_a_file_that_cannot_be_read_is_1(sip2gw: Run, tmp_path: Path) -> None:
    (tmp_path / "bomb.xml").write_bytes(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>")
    result = sip2gw("convert-config", tmp_path / "bomb.xml")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("sip2gw: bomb.xml: has a document type declaration (DTD)")
    assert sip2gw("convert-config", tmp_path / "nowhere.xml").status == 1


def test_the_library_can_be_chosen(sip2gw: Run) -> None:
    result = sip2gw("convert-config", SAMPLES / "koha.xml", "--institution", "SOUTH")
    assert tomllib.loads(result.out)["institution"]["id"] == "SOUTH"


# In front of the system that the file came from ---------------------------------------------------


def before(sip2gw: Run, tmp_path: Path, sample: str, *options: str) -> Path:
    file = tmp_path / "sip2gw.toml"
    arguments = ("--upstream", "ils.example:6001", "--output", file, *options)
    result = sip2gw("convert-config", SAMPLES / sample, *arguments)
    assert result.status == 0, result.err
    return file


@pytest.mark.parametrize(
    ("sample", "preset", "accounts"),
    [
        (
            "koha.xml",
            "koha",
            {
                # login: password, AO, encoding, line end
                "hall-1": ("rose-garden", "NORTH", "utf-8", b"\r"),
                "all": ("every-option", "NORTH", "ascii", b"\r\n"),
                "long": ("long", "A library with a long name", "utf-8", b"\r\n"),
            },
        ),
        (
            "evergreen.xml",
            "evergreen",
            {
                "branch-a": ("apple", "valley", "ascii", b"\r"),
                "branch-b": ("pear", "valley", "utf-8", b"\r"),
            },
        ),
    ],
)
def test_c120_each_login_has_its_account_behind_the_gateway(
    sip2gw: Run, tmp_path: Path, sample: str, preset: str, accounts: dict[str, tuple[object, ...]]
) -> None:
    config = load_config(before(sip2gw, tmp_path, sample))
    passwords = {name: account.password for name, account in config.accounts.items()}
    assert {
        name: (
            password.get_secret_value() if (password := passwords[name]) else None,
            config.accounts[name].institution,
            config.accounts[name].encoding,
            config.accounts[name].terminator,
        )
        for name in accounts
    } == accounts
    for name, account in config.accounts.items():
        assert (str(account.address), account.login) == ("ils.example:6001", name)
        assert account.facts == PRESETS[preset].facts
    site = build_site(config, frozenset())
    used = {
        name: known.view.upstream and known.view.upstream.account
        for name, known in site.by_name.items()
    }
    assert used == {name: name for name in config.accounts}


def test_passwords_are_in_files_that_only_the_owner_reads(sip2gw: Run, tmp_path: Path) -> None:
    text = before(sip2gw, tmp_path, "koha.xml").read_text()
    files = sorted(tmp_path.glob("*.password"))
    assert (tmp_path / "hall-1.password").read_text() == "rose-garden\n"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    for file in files:
        if file.stem not in ("nowhere", "patterns", "long"):  # their passwords are words elsewhere
            assert file.read_text().strip() not in text


def test_what_the_library_system_does_itself_is_not_done_twice(sip2gw: Run, tmp_path: Path) -> None:
    """Its templates and fields stay in its own file; nothing about them is missing here."""
    file = before(sip2gw, tmp_path, "koha.xml")
    profiles = tomllib.loads(file.read_text())["profiles"].values()
    assert {key for profile in profiles for key in profile} == {
        "kind", "encoding", "terminator", "messages", "payment_types",
    }  # fmt: skip
    assert "template" not in file.read_text()
    assert "# - account hall-2: password: left out, because SIP2 cannot carry" in file.read_text()
    assert "# - account empty: password: refused: left out" in file.read_text()


def test_two_servers_at_one_address_are_told(sip2gw: Run, tmp_path: Path) -> None:
    file = tmp_path / "sip2gw.toml"
    xml = tmp_path / "oils_sip.xml"
    text = (SAMPLES / "evergreen.xml").read_text()
    xml.write_text(text.replace("127.0.0.1:0/tcp", "127.0.0.1:6001/tcp"))
    arguments = ("--upstream", "127.0.0.1:6001", "--output", file)
    assert sip2gw("convert-config", xml, *arguments).status == 0
    assert "# Gateway and library system have the same address" in file.read_text()


def test_a_password_file_that_is_there_is_kept_and_nothing_written(
    sip2gw: Run, tmp_path: Path
) -> None:
    (tmp_path / "branch-b.password").write_text("mine")
    file = tmp_path / "sip2gw.toml"
    result = sip2gw(
        "convert-config", SAMPLES / "evergreen.xml", "--upstream", "a:1", "--output", file
    )
    assert result.status == 1
    assert "branch-b.password: already exists" in result.err
    assert [one.name for one in tmp_path.iterdir()] == ["branch-b.password"]
    assert (tmp_path / "branch-b.password").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--upstream", "ils:6001"), "--upstream needs --output"),
        (("--upstream", "ils", "--output", "x.toml"), "--upstream ils: must have the form"),
        (("--upstream", "ils:0", "--output", "x.toml"), "needs a port other than 0"),
    ],
)
def test_a_wrong_upstream_is_2(sip2gw: Run, options: tuple[str, ...], told: str) -> None:
    result = sip2gw("convert-config", SAMPLES / "koha.xml", *options)
    assert result.status == 2
    assert told in result.err


def test_folio_has_no_passwords_to_take(sip2gw: Run, tmp_path: Path) -> None:
    edge = [SAMPLES / name for name in ("sip2.conf", "tenants.conf", "folio.json")]
    file = tmp_path / "x.toml"
    result = sip2gw("convert-config", *edge, "--upstream", "a:1", "--output", file)
    assert result.status == 1
    assert "edge-sip2 has no passwords" in result.err


def test_logins_that_would_share_a_file_get_one_each() -> None:
    logins = [Login("a b", "1", "N"), Login("a-b", "2", "N"), Login("A/b", "3", "N")]
    draft = Draft()
    draft.tables[("server",)] = {}
    draft.tables[("profiles", "p")] = {}
    for login in logins:
        draft.tables[("terminals", login.name)] = {"profile": "p"}
    assert stand_before(draft, "koha", "ils:1", logins) == {
        "a-b.password": "1",
        "a-b-1.password": "2",
        "A-b-2.password": "3",
    }
