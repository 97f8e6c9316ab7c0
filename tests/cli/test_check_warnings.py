"""`check` and settings that are valid, but do nothing (C172)."""

from pathlib import Path

import pytest

from .conftest import Run

CONFIG = """
[institution]
id = "HUB"
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "behind"
[profiles.kiosk]
kind = "selfcheck"
checked_in_ok = true
"""


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 1)])
def test_a_warning_is_no_failure_unless_it_is_to_be(
    sip2gw: Run, tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIG)
    result = sip2gw("check", "--config", file, *options)
    assert result.status == status
    assert f"warning: {file}: profiles.kiosk.checked_in_ok has no effect" in result.err


def test_without_a_warning_strict_changes_nothing(sip2gw: Run, tmp_path: Path) -> None:
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIG.replace("checked_in_ok = true\n", ""))
    assert sip2gw("import", "-", "--config", file).status == 0
    result = sip2gw("check", "--config", file, "--strict")
    assert result.status == 0
    assert "warning" not in result.err


def test_a_store_that_is_not_there_is_a_warning(sip2gw: Run, tmp_path: Path) -> None:
    """A new configuration may be checked before there is a store; a wrong `store.url` is seen."""
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIG.replace("checked_in_ok = true\n", ""))
    result = sip2gw("check", "--config", file)
    assert result.status == 0
    assert f"warning: store: {tmp_path}/library.db does not exist; make" in result.err
    assert sip2gw("check", "--config", file, "--strict").status == 1
