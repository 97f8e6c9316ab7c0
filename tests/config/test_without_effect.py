"""What is set but does nothing in front of a library system (B73, C172)."""

import pytest

from sip2gw.config import load_config
from sip2gw.config.without_effect import LENDING_OPTIONS, without_effect

PROFILE = '[profiles.kiosk]\nkind = "selfcheck"\n'
BEHIND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "behind"
[privacy]
loan_history_days = 30
"""
VALUES = {
    "capture_holds": "false",
    "checked_in_ok": "true",
    "confirm_previously_borrowed": "true",
    "hold_as_transit": "true",
    "in_house_material_types": '["NEWS"]',
    "in_house_memberships": '["201"]',
    "lend_with_attachment": "false",
    "lost_block_checkout": "1",
    "overdues_block_checkout": "true",
    "refuse_checkin": '["note"]',
    "second_checkout": '"refuse"',
}


@pytest.fixture
def told(tmp_path):
    """The warnings about a profile with these keys."""

    def of(keys, backend=BEHIND):
        file = tmp_path / "sip2gw.toml"
        file.write_text(f'[institution]\nid = "HUB"\n{backend}{PROFILE}{keys}\n')
        return list(without_effect(load_config(file)))

    return of


def test_every_option_that_decides_lending_is_warned_of(told):
    assert set(VALUES) == set(LENDING_OPTIONS)
    for key, value in VALUES.items():
        assert told(f"{key} = {value}") == [
            f"profiles.kiosk.{key} has no effect, because the library system decides lending;"
            " set it there"
        ]


def test_without_a_library_system_they_have_their_effect(told):
    assert told("checked_in_ok = true", backend="") == []


def test_a_profile_that_is_observed_is_not_warned_of(told):
    assert told("checked_in_ok = true\nobserve = true") == []


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "accept_offline = true",
        'blocked_material_types = ["GAME*"]\nrefuse_checkin_material_types = ["GAME*"]',
        'cr_item_field = "call_number"',
        'sort_bins = [{ field = "call_number", value = "82", bin = "3" }]',
    ],
)
def test_what_has_an_effect_is_not_warned_of(told, keys):
    assert told(keys) == []


def test_what_no_answer_says_cannot_be_looked_at(told):
    rules = (
        '{ field = "item", value = "1", bin = "1" }, { field = "shelf", value = "A", bin = "2" }'
    )
    assert told(f'cr_item_field = "shelf"\nsort_bins = [{rules}]') == [
        "profiles.kiosk.cr_item_field: no answer of a library system says the shelf",
        "profiles.kiosk.sort_bins.2 looks at shelf, which no answer of a library system says",
    ]
