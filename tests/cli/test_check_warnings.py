"""`check` and settings that are valid, but do nothing (C172)."""

from pathlib import Path

import pytest

from .conftest import Result, Run

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


@pytest.mark.parametrize(
    ("profile", "warning"),
    [
        (
            'kind = "selfcheck"\nmessages = ["37", "63"]',
            "payment_types: empty, so each payment is refused, though messages has 37",
        ),
        ('kind = "payment"\npayment_types = []', "payment_types: empty"),
        (
            'kind = "selfcheck"\nmessages = ["63"]\npayment_types = ["00"]',
            "payment_types has no effect, because messages does not have 37",
        ),
        ('kind = "door"\nmessages = ["35"]', "messages: neither 23 nor 63"),
        (
            'kind = "door"\nhide_fields = ["GL"]\ndoor = { require_badges = ["ONBE"] }',
            "door.require_badges: GL is hidden",
        ),
        (
            'kind = "door"\nallow_fields = ["AF"]\ndoor = { require_badges = ["ONBE"] }',
            "door.require_badges: GL is hidden",
        ),
    ],
)
def test_keys_of_a_profile_that_cancel_each_other(
    sip2gw: Run, tmp_path: Path, profile: str, warning: str
) -> None:
    """Each is valid alone, and 98 never promises what is refused (B13), so nobody else says so."""
    result = _checked(sip2gw, tmp_path, profile)
    assert (result.status, f"profiles.odd.{warning}" in result.err) == (0, True)


@pytest.mark.parametrize(
    "profile",
    [
        'kind = "selfcheck"\npayment_types = ["00"]',
        'kind = "selfcheck"\nmessages = ["63"]',
        'kind = "payment"',
        'kind = "door"\nmessages = ["23"]\nhide_fields = ["GL"]',
        'kind = "door"\nallow_fields = ["GL"]\ndoor = { require_badges = ["ONBE"] }',
        'kind = "door"\nhide_fields = ["GL"]\ndoor = { mode = "facts", require_badges = ["ONBE"] }',
    ],
)
def test_keys_of_a_profile_that_go_together(sip2gw: Run, tmp_path: Path, profile: str) -> None:
    assert "profiles.odd" not in _checked(sip2gw, tmp_path, profile).err


def _checked(sip2gw: Run, folder: Path, profile: str) -> Result:
    file = folder / "sip2gw.toml"
    file.write_text(f'[institution]\nid = "HUB"\n[profiles.odd]\n{profile}\n')
    return sip2gw("check", "--config", file)
