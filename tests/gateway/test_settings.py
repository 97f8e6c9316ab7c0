"""The settings behind a decision, as the operator wrote them (B70, C22)."""

import pytest

from sip2gw.backend.base import Capability
from sip2gw.config import load_config
from sip2gw.serving.settings import settings_of
from sip2gw.serving.site import build_site

CONFIG = """
[institution]
id = "HUB"
[branches.MAIN]
max_fee_age_days = 49
[branches.SHUT]
[profiles.entrance]
kind = "door"
[profiles.entrance.door]
{door}
[terminals.door-1]
profile = "entrance"
password = "pw"
{branch}
"""


def settings(tmp_path, door="", branch='branch = "MAIN"'):
    """The settings at `door-1`, whose profile has `door` in its table."""
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG.format(door=door, branch=branch))
    config = load_config(path)
    site = build_site(config, frozenset(Capability))
    view = site.by_name["door-1"].view
    return settings_of(view, config.profiles[view.profile])


@pytest.mark.parametrize(
    ("name", "written", "unset"),
    [
        ("direction", 'direction = "out"', 'direction = "in"'),
        ("when_staffed", 'when_staffed = "refuse"', 'when_staffed = "admit"'),
        ("last_entry", "last_entry_margin_min = 15", "last_entry_margin_min = 0"),
        ("pin", "require_pin = false", "require_pin = true"),
        ("badges", 'require_badges = ["A", "B"]', "require_badges = []"),
        ("age", "minimum_age = 16", "minimum_age = 0"),
        ("memberships", 'memberships = ["202", "301"]', "memberships = []"),
        ("home_branch", "home_branch_only = true", "home_branch_only = false"),
        ("fees", 'fees = "ignore"', 'fees = "limit"'),
        ("house_rules", "require_house_rules = 2026-01-01", "require_house_rules = false"),
        ("capacity", "capacity = 10", "capacity = 0"),
        ("inside", "refuse_inside = true", "refuse_inside = false"),
    ],
)
def test_a_key_of_a_door_is_said_with_its_value(tmp_path, name, written, unset):
    assert getattr(settings(tmp_path, written), name) == f"profiles.entrance.door.{written}"
    assert getattr(settings(tmp_path), name) == f"profiles.entrance.door.{unset}"


def test_badges_are_said_in_order_and_with_how_many_are_needed(tmp_path):
    said = settings(tmp_path, 'require_badges = ["B", "A"]\nbadges = "any"')
    assert said.badges == 'profiles.entrance.door.require_badges = ["A", "B"]'
    assert said.all_badges == f'{said.badges}, badges = "any"'


@pytest.mark.parametrize(("hours", "shown"), [("12", "12"), ("0.5", "0.5"), ("24.0", "24")])
def test_an_emergency_is_said_with_its_hours(tmp_path, hours, shown):
    said = settings(tmp_path, f"emergency = true\nemergency_max_age_h = {hours}")
    assert said.emergency == (
        f"profiles.entrance.door.emergency = true, emergency_max_age_h = {shown}"
    )


def test_the_keys_of_a_branch(tmp_path):
    said = settings(tmp_path)
    assert said.hours == "branches.MAIN.hours and exceptions"
    assert said.bars == "branches.MAIN.bar, door bar list"
    assert said.passes == "branches.MAIN.pass, door pass list"
    assert said.fee_age == "branches.MAIN.max_fee_age_days = 49"
    assert said.branch == "terminals.door-1.branch"


def test_a_branch_without_an_age_of_charges(tmp_path):
    said = settings(tmp_path, branch='branch = "SHUT"')
    assert said.fee_age == "branches.SHUT.max_fee_age_days"


def test_c75_a_terminal_without_a_branch(tmp_path):
    said = settings(tmp_path, branch="")
    assert {said.hours, said.bars, said.passes, said.fee_age} == {"the terminal has no branch"}
