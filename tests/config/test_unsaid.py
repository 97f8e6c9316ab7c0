"""What doors demand, and the library system behind the gateway does not say (B36, C121)."""

import pytest

from sip2gw.config import load_config
from sip2gw.config.unsaid import DEMANDS, unsaid

SITE = """
[institution]
id = "HUB"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "kiosk"
[terminals.door-1]
profile = "entrance"
branch = "MAIN"
password = "door"
[terminals.door-2]
profile = "entrance"
branch = "MAIN"
password = "door"
"""
BEHIND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "behind"
preset = "{preset}"
[backend.sip2.accounts.east]
login = "east"
[branches.EAST]
upstream = "east"
"""
DEMANDED = {"minimum_age": "16", "memberships": '["201"]', "home_branch_only": "true"}


@pytest.fixture
def told(tmp_path):
    """The warnings about two doors of one profile with these keys."""

    def of(keys, preset="none", backend=BEHIND, more=""):
        file = tmp_path / "sip2gw.toml"
        door = f'[profiles.entrance]\nkind = "door"\n[profiles.entrance.door]\n{keys}\n'
        file.write_text(SITE + backend.format(preset=preset) + door + more)
        return list(unsaid(load_config(file)))

    return of


def test_what_no_field_says_is_warned_of_once(told):
    assert set(DEMANDED) == set(DEMANDS)
    for key, value in DEMANDED.items():
        assert told(f"{key} = {value}") == [
            f"profiles.entrance.door.{key} keeps out all whose {DEMANDS[key]} is not in the store"
            " here: no field of account default says it; name one in backend.sip2.facts"
        ]


def test_what_is_mapped_or_not_demanded_is_fine(told):
    assert told("minimum_age = 16", preset="koha") == []  # PB
    assert told('require_badges = ["ONBE"]') == []
    assert told('minimum_age = 16\ndirection = "out"') == []  # nobody is kept inside


def test_each_account_is_looked_at(told):
    east = '[terminals.door-3]\nprofile = "entrance"\nbranch = "EAST"\npassword = "door"\n'
    (first, second) = told("minimum_age = 16", more=east)
    assert "account default" in first
    assert "account east" in second


def test_without_a_library_system_our_store_says_it(told):
    assert told("minimum_age = 16", backend="") == []
