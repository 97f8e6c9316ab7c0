"""From a file to a configuration: what is read, defaulted and resolved (C24, C81)."""

import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sip2gw.config import Config, ConfigError, load_config
from sip2gw.foundation.hashing import hash_password
from sip2gw.model import RelationshipType

INTERFACE_EXAMPLE = """
[institution]
id = "HUB"
name = "Hub Public Library"
currency = "EUR"
timezone = "Europe/Brussels"
language = "nl"

[store]
url = "sqlite:library.db"

[server]
listen = ["127.0.0.1:6001", "[::1]:6001"]
workers = 1

[admin]
listen = "127.0.0.1:9102"

[relationships]
enabled = true
types = ["head_of_family", "authorisation"]

[branches.MAIN]
name = "Main branch"
max_fee_age_days = 49
hours = [
  { days = ["mon","tue","wed","thu","fri"], from = "10:00", to = "18:00", state = "staffed" },
  { days = ["mon","tue","wed","thu","fri"], from = "18:00", to = "22:00", state = "unstaffed" },
]
exceptions = [ { date = 2026-12-25, state = "closed" } ]

[profiles.kiosk]
kind = "selfcheck"
[profiles.cash]
kind = "payment"
family = "merged"
[profiles.entrance]
kind = "door"
[profiles.entrance.door]
mode = "decision"
require_pin = true
require_badges = ["ONBE"]
badges = "all"
minimum_age = 16
fees = "limit"
when_staffed = "admit"
last_entry_margin_min = 15
refuse_as = "flags"

[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "kiosk password"
networks = ["127.0.0.0/8"]
"""

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str) -> Config:
        file = tmp_path / "sip2gw.toml"
        file.write_text(text, encoding="utf-8")
        return load_config(file)

    return load_text


def one_profile(load: Load, lines: str, before: str = "") -> Config:
    return load(f'{before}\n[institution]\nid = "HUB"\n[profiles.p]\n{lines}\n')


def one_terminal(load: Load, lines: str, more: str = "", kind: str = "auth") -> Config:
    return load(
        f'[institution]\nid = "HUB"\n[profiles.p]\nkind = "{kind}"\n'
        f'[terminals.t]\nprofile = "p"\n{lines}\n{more}'
    )


def test_the_example_of_the_interface_is_read(load: Load) -> None:
    config = load(INTERFACE_EXAMPLE)
    assert config.institution.id == "HUB"
    assert config.zone == ZoneInfo("Europe/Brussels")
    assert [tuple(it.address) for it in config.listeners] == [
        ("127.0.0.1", 6001),
        ("::1", 6001),
    ]
    assert config.admin.address.port == 9102
    terminal = config.terminals["kiosk-1"]
    assert terminal.profile is config.profiles["kiosk"]
    assert terminal.branch is config.branches["MAIN"]
    assert terminal.password is not None
    assert terminal.password.get_secret_value() == "kiosk password"
    branch = config.branches["MAIN"]
    evening = datetime(2026, 6, 1, 19, tzinfo=branch.zone)
    assert branch.calendar.state_at(evening).state == "unstaffed"
    assert branch.calendar.state_at(evening.replace(month=12, day=25)).state == "closed"
    door = config.profiles["entrance"]
    assert door.door is not None
    assert door.door.rules().require_badges == {"ONBE"}
    assert door.door.rules().last_entry_margin == timedelta(minutes=15)


def test_the_shortest_file_names_the_institution_and_has_the_defaults_of_c81(load: Load) -> None:
    config = load('[institution]\nid = "HUB"')
    server, security = config.server, config.security
    assert (server.login_timeout_s, server.idle_timeout_s, server.tcp_keepalive_s) == (60, 600, 60)
    assert (server.max_connections, server.max_connections_per_address) == (10_000, 1_000)
    assert (server.frame_bytes_max, server.frame_timeout_s) == (8192, 10)
    assert (server.resend_limit, server.login_attempts, server.workers) == (3, 3, 1)
    assert (security.pin_failures_max, security.pin_lock_min, security.login_backoff_s) == (
        5,
        15,
        1,
    )
    assert (config.log.level, config.log.format) == ("info", "auto")
    assert config.privacy.access_log_days == 30
    assert config.privacy.refused_payment_days == 90
    assert config.backend.kind == "store"
    assert config.relationships.rules.types == set(RelationshipType)
    assert config.store.is_sqlite
    assert config.tls is None
    assert config.tokens == {}
    assert dict(config.terminals) == {}


@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("selfcheck", "01 09 11 15 17 19 23 25 29 35 63 65 99"),
        ("sorter", "09 17 19 99"),
        ("door", "23 35 63 99"),
        ("payment", "23 35 37 63 99"),
        ("auth", "23 35 63 99"),
    ],
)
def test_the_kind_decides_the_messages_c24(load: Load, kind: str, messages: str) -> None:
    profile = one_profile(load, f'kind = "{kind}"').profiles["p"]
    assert profile.messages == {*messages.split(), "93", "97"}
    assert profile.may_take_payments == (kind == "payment")


@pytest.mark.parametrize(
    ("kind", "required"),
    [("selfcheck", False), ("sorter", False), ("payment", True), ("auth", True), ("door", True)],
)
def test_the_kind_decides_whether_the_pin_is_required_c20(
    load: Load, kind: str, required: bool
) -> None:
    assert one_profile(load, f'kind = "{kind}"').profiles["p"].pin_required == required


def test_profile_defaults_c81(load: Load) -> None:
    profile = one_profile(load, 'kind = "payment"').profiles["p"]
    table = profile.table
    assert (table.encoding, table.terminator, table.error_detection) == ("cp850", "CR", "mirror")
    assert (table.dialect, table.fee_lines, profile.family) == ("standard", "AV", "merged")
    assert (table.fw_b, table.second_checkout, table.date_zone) == ("payment", "renew", "local")
    assert profile.payment_types == ("00", "01", "02")
    assert table.partial_payment
    assert table.bk_retention_days == 30
    assert profile.language == "nl"
    assert table.badge_separator is None
    off = "checked_in_ok may_block_patrons staff_notices invoiced_payable resend_with_sequence"
    for name in [
        *off.split(),
        "wrong_pin_hides_card",
        "accept_character_checksum",
        "relation_titles",
    ]:
        assert getattr(table, name) is False, name
    assert table.personal_fields == table.hide_fields == table.allow_fields == ()


def test_door_defaults_c81_c10(load: Load) -> None:
    door = one_profile(load, 'kind = "door"').profiles["p"].door
    assert door is not None
    assert (door.mode, door.require_pin, door.require_badges, door.badges) == (
        "decision",
        True,
        (),
        "all",
    )
    assert (door.minimum_age, door.fees, door.when_staffed) == (0, "limit", "admit")
    assert (door.last_entry_margin_min, door.refuse_as, door.direction) == (0, "flags", "in")
    assert (door.capacity, door.refuse_inside, door.passage_window_s) == (0, False, 5)
    assert (door.emergency, door.emergency_max_age_h, door.require_house_rules) == (
        False,
        24,
        False,
    )
    assert (door.memberships, door.home_branch_only) == ((), False)


def test_a_door_without_pin_is_an_explicit_setting_b35(load: Load) -> None:
    profile = one_profile(load, 'kind = "door"\ndoor.require_pin = false').profiles["p"]
    assert not profile.pin_required


def test_a_selfcheck_with_payment_types_takes_payments_c24(load: Load) -> None:
    profile = one_profile(load, 'kind = "selfcheck"\npayment_types = ["02"]').profiles["p"]
    assert "37" in profile.messages
    assert profile.may_take_payments


def test_a_payment_profile_in_the_wise_dialect_serves_41_c24(load: Load) -> None:
    assert "41" in one_profile(load, 'kind = "payment"\ndialect = "wise"').profiles["p"].messages


def test_the_switches_of_a_41_can_be_changed_c45(load: Load) -> None:
    kept = one_profile(load, 'kind = "payment"\ndialect = "wise"').profiles["p"].wise
    assert (kept.all_lines, kept.open_lines, kept.paid_lines) == ("FA", "FB", "FC")
    table = 'wise = { open_lines = "FC", paid_lines = "FB" }'
    changed = one_profile(load, f'kind = "payment"\ndialect = "wise"\n{table}').profiles["p"].wise
    assert (changed.all_lines, changed.open_lines, changed.paid_lines) == ("FA", "FC", "FB")


def test_own_messages_replace_those_of_the_kind(load: Load) -> None:
    profile = one_profile(load, 'kind = "payment"\nmessages = ["63", "99"]').profiles["p"]
    assert profile.messages == {"63", "99", "93", "97"}
    assert not profile.may_take_payments


def test_without_payment_types_nothing_is_paid_c24(load: Load) -> None:
    assert (
        not one_profile(load, 'kind = "payment"\npayment_types = []')
        .profiles["p"]
        .may_take_payments
    )


@pytest.mark.parametrize(
    ("kind", "fw_b", "honoured"),
    [
        ("payment", "payment", True),
        ("selfcheck", "payment", False),
        ("selfcheck", "any", True),
        ("payment", "off", False),
    ],
)
def test_who_may_lift_the_money_block_b26_c40(
    load: Load, kind: str, fw_b: str, honoured: bool
) -> None:
    profile = one_profile(load, f'kind = "{kind}"\nfw_b = "{fw_b}"').profiles["p"]
    assert profile.honours_fw_b == honoured


@pytest.mark.parametrize("switch", ["enabled = false", "types = []"])
def test_without_relationships_there_is_no_family_b49(load: Load, switch: str) -> None:
    config = one_profile(load, 'kind = "payment"', before=f"[relationships]\n{switch}\n")
    assert config.profiles["p"].family == "off"
    assert config.relationships.rules.types == frozenset()


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("true", {"BD", "BE", "BF", "PB", "PC"}),
        ("false", set()),
        ('["BE", "PB"]', {"BE", "PB"}),
    ],
)
def test_personal_fields_c33(load: Load, written: str, fields: set[str]) -> None:
    profile = one_profile(load, f'kind = "auth"\npersonal_fields = {written}').profiles["p"]
    assert set(profile.table.personal_fields) == fields


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("true", True),
        ("false", False),
        ("2026-01-15", date(2026, 1, 15)),
        ('"2026-01-15"', date(2026, 1, 15)),
    ],
)
def test_house_rules_are_a_switch_or_a_date_c10(
    load: Load, written: str, rule: bool | date
) -> None:
    profile = one_profile(load, f'kind = "door"\ndoor.require_house_rules = {written}').profiles[
        "p"
    ]
    assert profile.door is not None
    assert profile.door.rules().house_rules == rule


def test_the_key_is_the_login_unless_login_says_otherwise(load: Load) -> None:
    config = one_terminal(load, 'login = "SC0042"\npassword = "x"')
    assert config.terminals["SC0042"].name == "t"


@pytest.mark.parametrize(
    ("kind", "written", "lines"),
    [("selfcheck", "", 1), ("door", "", 1), ("auth", "", 0), ("auth", "max_connections = 1", 1)],
)
def test_a_kiosk_has_one_line_and_a_service_any_number(
    load: Load, kind: str, written: str, lines: int
) -> None:
    """C102."""
    config = one_terminal(load, f'password = "x"\n{written}', kind=kind)
    assert config.terminals["t"].max_connections == lines


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (None, "203.0.113.9", True),
        (None, "2001:db8::1", True),
        ('["10.0.0.0/8", "192.0.2.7"]', "10.1.2.3", True),
        ('["10.0.0.0/8", "192.0.2.7"]', "192.0.2.7", True),
        ('["10.0.0.0/8", "192.0.2.7"]', "192.0.2.8", False),
        ('["10.0.0.0/8"]', "::ffff:10.1.2.3", True),
        ('["10.0.0.0/8"]', "2001:db8::1", False),
        ('["fe80::/10"]', "fe80::1%eth0", True),
        ('["10.0.0.0/8"]', "unix socket", False),
        ("[]", "10.1.2.3", False),
    ],
)
def test_networks_say_where_a_terminal_may_come_from_b12(
    load: Load, networks: str | None, address: str, allowed: bool
) -> None:
    line = f"\nnetworks = {networks}" if networks else ""
    terminal = one_terminal(load, f'password = "x"{line}').terminals["t"]
    assert terminal.allows_address(address) == allowed


@pytest.mark.parametrize(
    ("written", "last_moment"),
    [
        ("2026-06-30", datetime(2026, 6, 30, 21, 59, 59, tzinfo=UTC)),
        ("2026-06-30T12:00:00", datetime(2026, 6, 30, 9, 59, 59, tzinfo=UTC)),
        ('"2026-06-30T12:00:00+00:00"', datetime(2026, 6, 30, 11, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_terminal_expires_after_its_last_local_day_c34(
    load: Load, written: str, last_moment: datetime
) -> None:
    terminal = one_terminal(load, f'password = "x"\nexpires = {written}').terminals["t"]
    assert not terminal.expired_at(last_moment)
    assert terminal.expired_at(last_moment + timedelta(seconds=1))


@pytest.mark.parametrize("line", ["", "\nexpires = 9999-12-31"])
def test_a_terminal_without_end_never_expires(load: Load, line: str) -> None:
    terminal = one_terminal(load, f'password = "x"{line}').terminals["t"]
    assert not terminal.expired_at(datetime(9999, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("end", ["\n", " \r\n", "\t\n\n", ""])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_password_comes_from_a_file_without_what_an_editor_adds(
    load: Load, tmp_path: Path, start: str, end: str
) -> None:
    (tmp_path / "secret").write_bytes(f"{start} pass word{end}".encode())
    password = one_terminal(load, 'password_file = "secret"').terminals["t"].password
    assert password is not None
    assert password.get_secret_value() == " pass word"


def test_a_credential_of_systemd_is_found(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "token").write_text(f"{'x' * 32}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(tmp_path / "credentials"))
    config = load(
        '[institution]\nid = "HUB"\n[admin.tokens.tool]\nrole = "view"\n'
        'token_file = "$CREDENTIALS_DIRECTORY/token"'
    )
    assert config.tokens["tool"].secret.get_secret_value() == "x" * 32


def test_a_token_that_somebody_could_guess_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 31)
    with pytest.raises(ConfigError, match=r"tokens.tool.token_file: has a token that is too short"):
        load('[institution]\nid = "HUB"\n[admin.tokens.tool]\nrole = "view"\ntoken_file = "token"')


def test_a_password_hash_is_kept_as_it_is(load: Load) -> None:
    hashed = hash_password(b"x", memory_kib=8, time_cost=1)
    terminal = one_terminal(load, f'password_hash = "{hashed}"').terminals["t"]
    assert terminal.password is None
    assert terminal.password_hash is not None
    assert terminal.password_hash.get_secret_value() == hashed


def test_bar_and_pass_lists_c10(load: Load) -> None:
    branch = load(
        """
        institution.id = "HUB"
        [branches.MAIN]
        bar = [{ card = "111", until = 2026-06-30, note = "shouted" }]
        pass = [{ card = "222", days = ["mon"], from = "22:00", to = "02:00" }, { card = "333" }]
        """
    ).branches["MAIN"]
    assert branch.name == "MAIN"
    assert [(entry.card, entry.until) for entry in branch.bar] == [("111", date(2026, 6, 30))]
    cleaner, guard = branch.passes
    assert (cleaner.weekdays, cleaner.start_minute, cleaner.end_minute) == ({0}, 1320, 120)
    assert (guard.weekdays, guard.start_minute, guard.end_minute) == (set(range(7)), 0, 1440)


def test_a_branch_may_have_its_own_time_zone_b37(load: Load) -> None:
    config = load('institution.id = "HUB"\nbranches.FAR.timezone = "Atlantic/Azores"')
    assert config.branches["FAR"].zone == ZoneInfo("Atlantic/Azores")
    assert config.branches["FAR"].calendar.zone == ZoneInfo("Atlantic/Azores")


def test_files_are_relative_to_the_configuration(load: Load, tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    config = load(
        """
        institution.id = "HUB"
        store.pin_secret_file = "secret/pin"
        server.tls_certificate = "cert.pem"
        server.tls_key = "key.pem"
        server.tls_client_ca = "ca.pem"
        """
    )
    assert config.base_dir == tmp_path
    assert config.pin_secret_path == tmp_path / "secret" / "pin"
    assert config.tls is not None
    assert config.tls.certificate == tmp_path / "cert.pem"
    assert config.tls.client_ca == tmp_path / "ca.pem"


def test_several_processes_over_postgresql_c83(load: Load) -> None:
    config = load(
        'institution.id = "HUB"\nserver.workers = 4\nstore.url = "postgresql://gw:p%40ss@db/library"'
    )
    assert config.store.url == "postgresql://gw@db/library"
    assert config.store_password is not None
    assert config.store_password.get_secret_value() == "p@ss"
    assert not config.store.is_sqlite


def test_own_texts_are_kept_by_language_b29(load: Load) -> None:
    config = load('institution.id = "HUB"\ntexts.nl.granted = "Dag!"')
    assert config.texts["nl"] == {"granted": "Dag!"}


def test_the_profiles_of_the_how_to_on_kiosks_load(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "kiosk.md"
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "sip2gw.toml"
    file.write_text('[institution]\nid = "HUB"\n' + "".join(examples), encoding="utf-8")
    assert set(load_config(file).profiles) == {"kiosk", "sorter"}


OUTBOX = """
[outbox]
smtp = "mail.example.org:587"
smtp_login = "library"
smtp_password_file = "smtp.password"
sender = "Hub Library <library@example.org>"
[outbox.texts.CAE.nl]
subject = "Tot ziens, {name}"
"""


def test_an_outbox_without_a_channel_keeps_its_notices_c162(load: Load) -> None:
    outbox = load('[institution]\nid = "HUB"\n').outbox
    assert outbox.channel is None
    assert (outbox.smtp_tls, outbox.retry_max_h) == ("starttls", 72)


def test_an_outbox_by_e_mail_c162(load: Load, tmp_path: Path) -> None:
    (tmp_path / "smtp.password").write_text("secret-1\n")
    config = load(f'[institution]\nid = "HUB"\n{OUTBOX}')
    outbox = config.outbox
    assert outbox.channel == "email"
    assert outbox.server == ("mail.example.org", 587)
    assert outbox.from_whom == ("Hub Library", "library@example.org")
    assert outbox.from_whom.domain == "example.org"
    assert outbox.texts["CAE"]["nl"].subject == "Tot ziens, {name}"
    assert config.smtp_password is not None
    assert config.smtp_password.get_secret_value() == "secret-1"
    assert "secret-1" not in repr(config)


def test_an_outbox_by_webhook_c162(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-2")
    config = load(
        '[institution]\nid = "HUB"\n[outbox]\nwebhook = "http://127.0.0.1:80/in?key=canary-3"\n'
        'webhook_token_file = "token"\n'
    )
    assert config.outbox.channel == "webhook"
    assert config.outbox.url.path == "/in"
    assert config.webhook_token is not None
    assert config.webhook_token.get_secret_value() == "canary-2"
    assert "canary" not in repr(config)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_password_may_go_unencrypted_within_the_machine(
    load: Load, tmp_path: Path, host: str
) -> None:
    (tmp_path / "smtp.password").write_text("secret")
    text = OUTBOX.replace("mail.example.org:587", f"{host}:25")
    load(
        f'[institution]\nid = "HUB"\n{text}'.replace("smtp_login", 'smtp_tls = "none"\nsmtp_login')
    )


def test_the_page_on_notices_is_a_valid_configuration_c162(load: Load, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/notices.md").read_text(encoding="utf-8")
    by_mail, by_webhook, words = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for name in ("smtp.password", "letters.token"):
        (tmp_path / name).write_text("x")
    assert load(f'[institution]\nid = "HUB"\n{by_mail}{words}').outbox.channel == "email"
    assert load(f'[institution]\nid = "HUB"\n{by_webhook}').outbox.channel == "webhook"
