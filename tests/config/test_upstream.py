"""`[backend.sip2]`: accounts, facts and presets, and who uses which account (C120, C121, C158)."""

import pytest

from sip2gw.config import load_config
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import Fact

HEAD = '[institution]\nid = "HUB"\n[backend]\nkind = "sip2"\n[backend.sip2]\n'
SHORTEST = HEAD + 'address = "ils.example:6001"\nlogin = "gateway"\n'

INTERFACE = """
[institution]
id = "GW"
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password_file = "ils.password"
institution = "HUB"
connections = 4
timeout_s = 4
encoding = "cp850"
payment_split = "sum"
login_order = "login"
keepalive_s = 60
payments = true
knows_fw_b = false
guards_bk = false
preset = "koha"
aliases = false
denials_by_money = { flags = [0, 1, 3, 10, 11], af = "blocked by fines" }
[backend.sip2.facts]
birth_date = { field = "PB", format = "%Y%m%d" }
membership_until = { field = "PA", format = "%Y%m%d" }
membership = { field = "PC", map = { ADULT = "201" } }
badges = { field = "GL" }
home_branch = { field = "AQ" }
fees = "av_koha"
[backend.sip2.accounts.east]
login = "gw-east"
location = "EAST"
[branches.EAST]
upstream = "east"
[branches.MAIN]
[profiles.entrance]
kind = "door"
observe = false
[terminals]
d1 = { profile = "entrance", branch = "EAST", password = "x" }
d2 = { profile = "entrance", branch = "MAIN", password = "x" }
d3 = { profile = "entrance", branch = "EAST", password = "x", upstream = "default" }
d4 = { profile = "entrance", password = "x" }
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        (tmp_path / "sip2gw.toml").write_text(text, encoding="utf-8")
        return load_config(tmp_path / "sip2gw.toml")

    return load_text


def test_the_example_of_the_interface_is_read(load, tmp_path):
    (tmp_path / "ils.password").write_text("hush-hush\n")
    config = load(INTERFACE)
    default, east = config.accounts["default"], config.accounts["east"]
    assert (default.address.host, default.address.port) == ("ils.example", 6001)
    assert (default.login, default.location, default.institution) == ("gateway", None, "HUB")
    assert (east.login, east.location, east.institution) == ("gw-east", "EAST", "HUB")
    assert east.address == default.address
    assert default.password is not None
    assert default.password.get_secret_value() == "hush-hush"
    assert east.password == default.password
    facts = east.facts
    assert facts.birth_date == Fact("PB", formats=("%Y%m%d",))
    assert facts.membership == Fact("PC", map={"ADULT": "201"})
    assert facts.badges == Fact("GL")
    assert facts.fees == "av_koha"
    assert facts.denials_by_money is not None
    assert facts.denials_by_money.flags == {0, 1, 3, 10, 11}
    assert facts.denials_by_money.af.search("Patron blocked by fines")
    assert facts.denials_by_money.af_not is None


def test_a_terminal_uses_its_own_account_its_branch_s_or_the_default_one_c120(load, tmp_path):
    (tmp_path / "ils.password").write_text("hush-hush")
    terminals = load(INTERFACE).terminals
    assert {name: terminal.upstream for name, terminal in terminals.items()} == {
        "d1": "east",
        "d2": "default",
        "d3": "default",
        "d4": "default",
    }


def test_without_a_library_system_there_are_no_accounts(load):
    config = load('[institution]\nid = "HUB"\n[profiles.p]\nkind = "auth"\n'
                  '[terminals.t]\nprofile = "p"\npassword = "x"')  # fmt: skip
    assert config.accounts == {}
    assert config.terminals["t"].upstream is None


def test_the_shortest_account_has_the_defaults(load):
    (account,) = load(SHORTEST).accounts.values()
    assert (account.name, account.institution, account.password) == ("default", "HUB", None)
    assert (account.connections, account.timeout_s, account.keepalive_s) == (4, 4, 60)
    assert (account.encoding, account.terminator, account.date_zone) == ("cp850", b"\r", "local")
    assert (account.checksums, account.tls, account.messages) == ("bytes", None, None)
    assert (account.login_order, account.login_algorithm) == ("login", "0")
    assert (account.payments, account.payment_split) == (True, "sum")
    assert (account.knows_fw_b, account.guards_bk, account.aliases) == (False, False, False)
    assert account.facts == PRESETS["none"].facts


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("checksums = false", "checksums", "none"),
        ("checksums = true", "checksums", "bytes"),
        ('checksums = "characters"', "checksums", "characters"),
        ('terminator = "CRLF"', "terminator", b"\r\n"),
        ('date_zone = "utc"', "date_zone", "utc"),
        ('encoding = "utf-8"', "encoding", "utf-8"),
        ('login_order = "status_first"', "login_order", "status_first"),
        ('login_algorithm = " "', "login_algorithm", " "),
        ('login_algorithm = ""', "login_algorithm", " "),
        ('preset = "symphony"', "login_algorithm", " "),
        ('preset = "symphony"\nlogin_algorithm = "0"', "login_algorithm", "0"),
        ('messages = ["23", "63"]', "messages", {"23", "63"}),
        ("messages = []", "messages", set()),
        ('payment_split = "lines"', "payment_split", "lines"),
        ("payments = false", "payments", False),
        ("guards_bk = true", "guards_bk", True),
        ("knows_fw_b = true", "knows_fw_b", True),
        ("aliases = true", "aliases", True),
        ("keepalive_s = 30", "keepalive_s", 30),
        ('institution = "THERE"', "institution", "THERE"),
    ],
)
def test_a_key_of_all_accounts_and_of_one(load, line, attribute, value):
    """Every key may stand in an account; the other accounts are not concerned."""
    assert getattr(load(SHORTEST + line).accounts["default"], attribute) == value
    own = load(f'{SHORTEST}[backend.sip2.accounts.own]\nlogin = "own"\n{line}').accounts
    assert getattr(own["own"], attribute) == value
    assert own["default"] == load(SHORTEST).accounts["default"]


def test_an_account_of_its_own_overrules_what_all_share(load):
    accounts = load(
        SHORTEST
        + 'timeout_s = 2\nlocation = "ALL"\n'
        + '[backend.sip2.accounts.east]\naddress = "[::1]:7"\nlocation = "EAST"\ntimeout_s = 4\n'
    ).accounts
    # 4 is the default too, but it was written down.
    assert (accounts["east"].timeout_s, accounts["default"].timeout_s) == (4, 2)
    assert (accounts["east"].location, accounts["default"].location) == ("EAST", "ALL")
    assert (accounts["east"].address.host, accounts["east"].address.port) == ("::1", 7)
    assert accounts["east"].login == accounts["default"].login == "gateway"


def test_a_password_of_its_own_replaces_a_file_for_all(load):
    accounts = load(
        HEAD
        + 'address = "x:1"\npassword_file = "nowhere"\n'
        + '[backend.sip2.accounts.east]\nlogin = "e"\npassword = "own"\n'
    ).accounts
    assert set(accounts) == {"east"}
    password = accounts["east"].password
    assert password is not None
    assert password.get_secret_value() == "own"


def test_a_login_is_not_needed_where_nobody_logs_in(load):
    (account,) = load(HEAD + 'address = "x:1"\nlogin_order = "none"').accounts.values()
    assert (account.name, account.login, account.login_order) == ("default", "", "none")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_gives_the_facts_and_a_key_overrules_one_of_them_c158(load, name):
    facts = load(f'{SHORTEST}preset = "{name}"').accounts["default"].facts
    assert facts == PRESETS[name].facts
    facts = (
        load(
            f'{SHORTEST}preset = "{name}"\nfacts.birth_date = {{ field = "XX", length = 8 }}\n'
            '[backend.sip2.accounts.east]\nfacts.fees = "gossip"'
        )
        .accounts["east"]
        .facts
    )
    assert facts.birth_date == Fact("XX", length=8)
    assert facts.fees == "gossip"
    assert facts.membership == PRESETS[name].facts.membership


def test_an_account_may_be_at_another_kind_of_system(load):
    accounts = load(
        SHORTEST + 'preset = "koha"\n[backend.sip2.accounts.east]\npreset = "polaris"'
    ).accounts
    assert accounts["default"].facts == PRESETS["koha"].facts
    assert accounts["east"].facts == PRESETS["polaris"].facts


@pytest.mark.parametrize(
    ("written", "formats"),
    [
        ('"%d.%m.%Y"', ("%d.%m.%Y",)),
        ('["%Y%m%d", "%Y-%m-%dT%H:%M:%S"]', ("%Y%m%d", "%Y-%m-%dT%H:%M:%S")),
        ('"%y%j"', ("%y%j",)),
    ],
)
def test_a_date_has_one_format_or_several(load, written, formats):
    line = f'facts.membership_until = {{ field = "PA", format = {written}, default = "flags" }}'
    (account,) = load(SHORTEST + line).accounts.values()
    assert account.facts.membership_until == Fact("PA", formats=formats, default="flags")


def test_tls(load, tmp_path):
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).touch()
    (account,) = load(
        SHORTEST
        + 'tls = true\ntls_ca = "ca.pem"\ntls_name = "ils"\n'
        + 'tls_certificate = "client.pem"\ntls_key = "client.key"\n'
    ).accounts.values()
    assert account.tls is not None
    assert account.tls.ca == tmp_path / "ca.pem"
    assert (account.tls.certificate, account.tls.key) == (
        tmp_path / "client.pem",
        tmp_path / "client.key",
    )
    assert account.tls.name == "ils"


def test_no_secret_is_shown(load):
    text = SHORTEST.replace('"gateway"', '"canary-4711"') + 'password = "canary-4711"\n'
    config = load(text)
    assert config.accounts["default"].login == "canary-4711"
    assert "canary" not in repr(config) + repr(config.accounts) + repr(config.source)


def test_card_rules_are_read_in_order(load):
    profile = load(
        '[institution]\nid = "HUB"\n[profiles.p]\nkind = "auth"\n'
        'card_rules = [{ rule = "strip_prefix", value = "A" }, { rule = "pad", value = 10 }]'
    ).profiles["p"]
    assert [(one.rule, one.value) for one in profile.card_rules] == [
        ("strip_prefix", "A"),
        ("pad", "10"),
    ]
