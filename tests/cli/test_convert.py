"""`convert-config` at the command line; what it converts is tested in tests/convert."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from sip2gw.convert import sipconfig
from sip2gw.foundation.hashing import hash_password

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
