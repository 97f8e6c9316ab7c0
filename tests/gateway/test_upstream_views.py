"""The view of a terminal with a library system behind the gateway (B73, B78, C150, C153)."""

import pytest
from harness import CONFIG, running

from sip2gw.config import Lasting, load_config
from sip2gw.handlers import (
    OBSERVED_FAILING,
    OBSERVED_HANDLERS,
    UPSTREAM_DOOR_HANDLERS,
    UPSTREAM_HANDLERS,
)
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest
from sip2gw.serving import views
from sip2gw.serving.site import build_site

BEHIND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:9"
login = "gw"
preset = "koha"
institution = "THERE"
encoding = "utf-8"
[backend.sip2.accounts.east]
login = "east"
aliases = true
messages = ["23"]
"""
PROFILES = """
[profiles.watched]
kind = "selfcheck"
observe = true
card_rules = [{ rule = "trim" }]
[profiles.scanner]
kind = "selfcheck"
card_rules = [{ rule = "trim" }]
[terminals.watched-1]
profile = "watched"
password = "pw"
[terminals.scanner-1]
profile = "scanner"
password = "pw"
"""


def site_of(tmp_path, text):
    (tmp_path / "sip2gw.toml").write_text(text)
    return build_site(load_config(tmp_path / "sip2gw.toml"), frozenset())


@pytest.fixture
def answering(monkeypatch):
    """A family that answers 23 only, and 63 too at doors."""

    def handlers_of(kind, dialect, family="store"):
        kinds = [PatronStatusRequest, *([PatronInformation] if kind == "door" else [])]
        return dict.fromkeys(kinds, family)

    monkeypatch.setattr(views, "handlers_of", handlers_of)


def test_each_family_has_its_handlers(tmp_path):
    site = site_of(tmp_path, CONFIG + BEHIND + PROFILES)
    assert site.by_name["kiosk-1"].view.handlers is UPSTREAM_HANDLERS
    assert site.by_name["door-1"].view.handlers is UPSTREAM_DOOR_HANDLERS
    watched = site.by_name["watched-1"].view
    assert watched.handlers is OBSERVED_HANDLERS
    assert watched.failing is OBSERVED_FAILING
    assert (watched.is_observed, site.by_name["kiosk-1"].view.is_observed) == (True, False)


def test_what_the_family_does_not_answer_is_not_offered(tmp_path, answering):
    site = site_of(tmp_path, CONFIG + BEHIND + PROFILES)
    assert site.by_name["kiosk-1"].view.messages == {"23"}
    assert site.by_name["door-1"].view.messages == {"23", "63"}
    assert "11" in site.by_name["kiosk-1"].view.offered


def test_an_observed_terminal_may_send_everything_and_nothing_is_changed_c153(tmp_path, answering):
    none = PROFILES.replace("observe = true", "observe = true\nmessages = []")
    site = site_of(tmp_path, CONFIG + BEHIND + none)
    assert site.by_name["watched-1"].view.messages == {"23"}
    assert site.by_name["watched-1"].view.card_rules == ()
    assert len(site.by_name["scanner-1"].view.card_rules) == 1


def test_a_view_says_how_the_library_system_is_asked(tmp_path):
    flags = CONFIG.replace("minimum_age = 16 }", "minimum_age = 16, upstream_flags = [0, 4] }")
    text = flags.replace("[branches.SHUT]", '[branches.SHUT]\nupstream = "east"') + BEHIND
    site = site_of(tmp_path, text)
    door = site.by_name["door-1"].view
    assert door.upstream is not None
    assert (door.upstream.account, door.upstream.institution) == ("default", "THERE")
    assert (door.upstream.aliases, door.upstream.offers_information) == (False, True)
    assert door.upstream.text.name == "utf-8"
    assert door.upstream.facts.fees == "av_koha"
    assert door.upstream.denying_flags == door.door.denying_flags == {0, 4}
    shut = site.by_name["door-shut"].view.upstream
    assert shut is not None
    assert (shut.account, shut.aliases, shut.offers_information) == ("east", True, False)
    kiosk = site.by_name["kiosk-1"].view.upstream
    assert kiosk is not None
    assert kiosk.denying_flags == {0}


def test_without_a_library_system_nothing_goes_up(tmp_path):
    view = site_of(tmp_path, CONFIG).by_name["door-1"].view
    assert view.upstream is None
    assert not view.is_observed


def test_a_reload_keeps_the_accounts_of_the_start_and_takes_what_names_them(tmp_path):
    """Their lines are open; an account that is new waits for the restart, and breaks nothing."""
    started = site_of(tmp_path, CONFIG + BEHIND).config
    lasting = Lasting(started)
    changed = (
        (CONFIG + BEHIND)
        .replace('preset = "koha"', 'preset = "polaris"')
        .replace("accounts.east", "accounts.west")
        .replace("[branches.SHUT]", '[branches.SHUT]\nupstream = "west"')
    )
    kept = lasting.kept(site_of(tmp_path, changed).config)
    assert kept.accounts["default"] == started.accounts["default"]
    assert kept.accounts["east"] == started.accounts["east"]
    view = build_site(kept, frozenset()).by_name["door-shut"].view
    assert view.upstream is not None
    assert view.upstream.account == "west"
    assert lasting.waiting(kept) == ["backend.sip2"]


async def test_a_reload_of_a_running_gateway_with_another_account(tmp_path):
    behind = BEHIND.replace('"127.0.0.1:9"', '"127.0.0.1:9"\ntimeout_s = 1')
    async with running(tmp_path, config=CONFIG + behind) as gateway:
        path = gateway.app.config.path
        text = path.read_text().replace("[branches.SHUT]", '[branches.SHUT]\nupstream = "new"')
        path.write_text(text + '[backend.sip2.accounts.new]\nlogin = "new"\n')
        await gateway.app.reload()
        (done,) = [line for line in gateway.logged() if line["event"] == "reload_done"]
        assert done["needs_restart"] == ["backend.sip2"]
        view = gateway.app.gateway.site.by_name["door-shut"].view
        assert view.upstream is not None
        assert view.upstream.account == "new"
