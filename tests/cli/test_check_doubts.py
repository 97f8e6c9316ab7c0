"""`check` warns of what is valid, but hardly what a library wants (B70).

Each case changes one thing of a configuration, or of a store, that has no warning.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from once import Once

from sip2gw.backend.factory import open_backend
from sip2gw.cli.checking.certificates import about_certificates, end_of
from sip2gw.cli.checking.examples import EXAMPLE_HASHES, EXAMPLE_PASSWORDS
from sip2gw.cli.checking.library import about_store
from sip2gw.cli.checking.listeners import about_listeners
from sip2gw.cli.checking.secret_files import about_secret_files
from sip2gw.config import load_config

from .conftest import Run

_libraries = Once()
ROOT = Path(__file__).parents[2]
CONFIG = """
[institution]
id = "HUB"
[store]
url = "sqlite:library.db"
[server]
listen = ["127.0.0.1:6001"]
[branches.MAIN]
hours = [ { days = ["mon"], from = "10:00", to = "18:00", state = "unstaffed" } ]
bar = [ { card = "P2" } ]
pass = [ { card = "P1", until = 2999-12-31 } ]
[profiles.kiosk]
kind = "selfcheck"
[profiles.entrance]
kind = "door"
door = { require_badges = ["ONBE"] }
[profiles.exit]
kind = "door"
door = { direction = "out", require_badges = ["NONE"] }
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "vM2xLq8"
networks = ["10.1.2.3/32"]
[terminals.door-1]
profile = "entrance"
branch = "MAIN"
password = "Tz5rKw1"
networks = ["10.1.2.4/32"]
[terminals.door-out]
profile = "exit"
password = "Yb7nHc4"
networks = ["10.1.2.5/32"]
"""
_RECOGNISED = 'login_required = false\nnetworks = ["10.1.2.1/32"]'


def _behind_a_proxy(kiosk: str) -> str:
    """`CONFIG` with a proxy at 10.1.2.1, and the kiosk known in this way."""
    return CONFIG.replace(
        'listen = ["127.0.0.1:6001"]',
        'listen = [{ address = "127.0.0.1:6001", proxy = true }]\nproxy_networks = ["10.1.2.1/32"]',
    ).replace('password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]', f"{kiosk}\nmax_connections = 1")


LIBRARY = """\
{"kind": "badge", "code": "ONBE", "name": "Hours without staff"}
{"kind": "patron", "id": "P1", "name": "Anna Claes", "badges": ["ONBE"]}
{"kind": "patron", "id": "P2", "name": "Dirk Wouters"}
"""


@pytest.fixture
def config(tmp_path: Path, sip2gw: Run) -> Path:
    """A configuration and a store without a warning."""
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIG)
    if not _libraries.give("library", tmp_path):
        _load(sip2gw, file, LIBRARY)
        _libraries.keep("library", tmp_path / "library.db")
    return file


def _load(sip2gw: Run, config: Path, data: str, *options: str) -> None:
    assert sip2gw("import", "-", *options, "--config", config, stdin=data.encode()).status == 0


def warnings(sip2gw: Run, config: Path) -> list[str]:
    """What `check` warns of; that costs nothing but with --strict."""
    result = sip2gw("check", "--config", config)
    assert result.status == 0, result.err
    told = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    strict = sip2gw("check", "--strict", "--config", config)
    assert strict.status == (1 if told else 0), strict.err
    return [line.removeprefix("warning: ") for line in told]


def test_a_network_that_is_the_world_is_one_warning(sip2gw: Run, config: Path) -> None:
    before = 'password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]\n'
    after = 'login_required = false\nnetworks = ["0.0.0.0/0"]\n'
    config.write_text(config.read_text().replace(before, after))
    (told,) = warnings(sip2gw, config)
    assert "open to every address" in told


@pytest.mark.parametrize(
    "kiosk",
    [
        'password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]\n',
        'login_required = false\nnetworks = ["10.1.2.3/32"]\nmax_connections = 0\n',
        'login_required = false\nnetworks = ["10.1.2.0/24"]\n',
        'login_required = false\nnetworks = ["2001:db8::/64"]\n',
        'password = "vM2xLq8"\nnetworks = ["10.1.0.0/16"]\n',
    ],
)
def test_what_is_as_it_should_be_is_no_warning(sip2gw: Run, config: Path, kiosk: str) -> None:
    before = 'password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]\n'
    config.write_text(config.read_text().replace(before, kiosk))
    assert warnings(sip2gw, config) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            'networks = ["10.1.2.3/32"]\n',
            "",
            r"terminals\.kiosk-1\.networks: open to every address; name",
        ),
        (
            'networks = ["10.1.2.3/32"]\n',
            'networks = ["10.1.2.3/32"]\nexpires = 2020-01-31\n',
            r"terminals\.kiosk-1\.expires: past, .*; give a later date",
        ),
        (
            '"vM2xLq8"',
            '"kiosk-demo"',
            r"terminals\.kiosk-1\.password: taken from an example .*; choose another",
        ),
        (
            'password = "vM2xLq8"',
            f'password_hash = "{min(EXAMPLE_HASHES)}"',
            r"terminals\.kiosk-1\.password: taken from an example",
        ),
        (
            'networks = ["10.1.2.3/32"]\n',
            'networks = ["10.1.2.3/32"]\nmax_connections = 0\n',
            r"terminals\.kiosk-1\.max_connections: one login for several machines, .* its own",
        ),
        (
            'password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]\n',
            'login_required = false\nnetworks = ["10.1.0.0/16"]\n',
            r"terminals\.kiosk-1\.networks: a whole network, .* name the machine's address, or",
        ),
        (
            'password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]\n',
            'login_required = false\nnetworks = ["10.1.2.2/31"]\nmax_connections = 0\n',
            r"terminals\.kiosk-1\.max_connections: one login for several machines",
        ),
        (
            '[terminals.door-1]\nprofile = "entrance"\nbranch = "MAIN"\n',
            '[terminals.door-1]\nprofile = "entrance"\n',
            r"terminals\.door-1\.branch: not set, .* admits nobody; name its branch",
        ),
        (
            re.search("hours = .*\n", CONFIG)[0],  # type: ignore[index]
            "",
            r"branches\.MAIN\.hours: empty, .* nobody gets in at door-1; list its hours",
        ),
        (
            "127.0.0.1:6001",
            "0.0.0.0:6001",
            r"server\.listen: 0\.0\.0\.0:6001 can be reached from every network .* without TLS",
        ),
        (
            "127.0.0.1:6001",
            "[2a01:4f8::1]:6001",
            r"server\.listen: \[2a01:4f8::1\]:6001 can be reached from the internet without TLS",
        ),
        (
            "[server]",
            "[server]\nproxy_protocol = true",
            r"server\.proxy_protocol: will go; write proxy = true in each table of server\.listen",
        ),
        (
            "[server]",
            '[server]\nproxy_networks = ["10.0.0.1/32"]',
            r"server\.proxy_networks: has no effect, .* leave the key out",
        ),
        (
            'listen = ["127.0.0.1:6001"]',
            'listen = [{ address = "127.0.0.1:6001", proxy = true }]\n'
            'proxy_networks = ["10.0.0.1/32", "0.0.0.0/0"]',
            r"server\.proxy_networks: open to every address, .* name the proxy's",
        ),
        (
            CONFIG,
            _behind_a_proxy('login_required = false\nnetworks = ["10.1.2.0/30"]'),
            r"terminals\.kiosk-1\.networks: an address of server\.proxy_networks, .* let it log in",
        ),
        (
            "[branches.MAIN]",
            '[admin]\nlisten = "0.0.0.0:9102"\n[branches.MAIN]',
            r"admin\.listen: 0\.0\.0\.0:9102 can be reached .* without TLS; listen on 127\.0\.0\.1",
        ),
        (
            '["ONBE"]',
            '["ONEB"]',
            r"profiles\.entrance\.door\.require_badges: badge ONEB is not in the store, .* define",
        ),
        (
            'card = "P2"',
            'card = "P9"',
            r"branches\.MAIN\.bar, entry 1: nobody has this card, .*; correct its number",
        ),
        (
            "2999-12-31",
            "2020-12-31",
            r"branches\.MAIN\.pass, entry 1: ended on 2020-12-31; delete it",
        ),
    ],
)
def test_each_doubt_names_its_key_and_says_what_to_do(
    sip2gw: Run, config: Path, before: str, after: str, told: str
) -> None:
    assert before in CONFIG
    config.write_text(CONFIG.replace(before, after, 1))
    (warning,) = warnings(sip2gw, config)
    assert re.match(re.escape(f"{config}: ") + told, warning), warning


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1:6001", "10.1.2.1:6001"),  # the library's own network
        ("127.0.0.1:6001", "localhost:6001"),
        ("[branches.MAIN]", '[admin]\nenabled = false\nlisten = "0.0.0.0:9102"\n[branches.MAIN]'),
        ('kind = "selfcheck"', 'kind = "auth"'),  # services that only ask open many lines
        (CONFIG, _behind_a_proxy('login_required = false\nnetworks = ["10.1.2.0/32"]')),
        (CONFIG, _behind_a_proxy('login_required = false\nnetworks = ["2001:db8::/64"]')),
        (CONFIG, _behind_a_proxy('password = "vM2xLq8"\nnetworks = ["10.1.2.0/30"]')),
        (CONFIG, _behind_a_proxy(_RECOGNISED).replace("127.0.0.1:6001", "unix:sip2.sock")),
        (CONFIG, CONFIG.replace('password = "vM2xLq8"\nnetworks = ["10.1.2.3/32"]', _RECOGNISED)),
    ],
)
def test_no_doubt(sip2gw: Run, config: Path, before: str, after: str) -> None:
    assert before in CONFIG
    config.write_text(CONFIG.replace(before, after, 1))
    assert warnings(sip2gw, config) == []


def test_thousands_of_terminals_are_one_warning(sip2gw: Run, config: Path) -> None:
    more = "".join(
        f'[terminals.more-{number}]\nprofile = "kiosk"\npassword = "x{number}"\n'
        for number in range(7)
    )
    config.write_text(CONFIG + more)
    (warning,) = warnings(sip2gw, config)
    assert "terminals.more-4.networks and 2 more: open to" in warning
    assert "more-5" not in warning


# The store


def test_a_badge_that_nobody_has_or_that_is_not_active(sip2gw: Run, config: Path) -> None:
    sip2gw("badge", "unassign", "ONBE", "P1", "--config", config)
    (warning,) = warnings(sip2gw, config)
    assert "badge ONBE is held by nobody; assign it with" in warning
    sip2gw("badge", "deactivate", "ONBE", "--config", config)
    (warning,) = warnings(sip2gw, config)
    assert "badge ONBE is not active" in warning


def test_what_is_on_a_list_of_the_store_in_vain(sip2gw: Run, config: Path) -> None:
    """Cards are counted, not named: what `check` says may end in a log."""
    add = ("--force", "--config", config)
    sip2gw("door", "bar", "add", "X77", *add)
    sip2gw("door", "bar", "add", "X78", *add)
    sip2gw("door", "pass", "add", "P1", "--branch", "MAIN", "--until", "2020-01-31", *add)
    told = warnings(sip2gw, config)
    assert [line.split(" and has")[0] for line in told] == [
        "store: 2 entries of the bar list of every branch: each is of a card that nobody has",
        "store: 1 entry of the pass list of branch MAIN: each is over",
    ]
    assert "X77" not in str(told)
    assert "see `sip2gw door bar list`" in told[0]


def test_the_last_day_of_an_entry_still_counts(sip2gw: Run, config: Path) -> None:
    """Until midnight in the library's zone; what the store and the file say is over together."""
    config.write_text(CONFIG.replace("2999-12-31", "2030-06-30"))
    add = ("door", "pass", "add", "P1", "--until", "2030-06-30", "--config", config)
    assert sip2gw(*add).status == 0
    settings = load_config(config)
    store = open_backend(settings, "command", "read").store
    ends = datetime(2030, 7, 1, 0, 0, tzinfo=settings.zone)
    try:
        before = ends - timedelta(seconds=1)
        assert list(about_store(settings, store, before, before)) == []
        in_store, in_file = about_store(settings, store, ends, ends)
    finally:
        asyncio.run(store.close())
    assert "1 entry of the pass list of every branch: each is over" in in_store
    assert "branches.MAIN.pass, entry 1: ended on 2030-06-30" in in_file


def test_a_store_that_was_never_or_long_ago_imported(config: Path) -> None:
    settings, now = load_config(config), datetime.now(UTC)
    store = open_backend(settings, "command", "read").store
    try:

        def told(last: datetime | None) -> list[str]:
            return list(about_store(settings, store, last, now))

        assert told(now - timedelta(days=6)) == []
        (never,), (long_ago,) = told(None), told(now - timedelta(days=8))
    finally:
        asyncio.run(store.close())
    assert "nobody has imported library data yet; load it with `sip2gw import FILE`" in never
    assert "8 days ago; look why the nightly `sip2gw import` does not run" in long_ago


def test_in_front_of_a_library_system_the_store_need_not_know_everybody(
    sip2gw: Run, config: Path
) -> None:
    """No import, badges by the library system, and a bar of a card that only it knows."""
    behind = """
[backend]
kind = "sip2"
[backend.sip2]
address = "ils.example:6001"
login = "gateway"
password = "Wk3sPd6"
facts = { badges = { field = "GL" } }
"""
    text = CONFIG.replace('"ONBE"', '"THEIRS"').replace('card = "P2"', 'card = "P9"') + behind
    config.write_text(text)
    for kind in ("bar", "pass"):
        sip2gw("door", kind, "add", "P9", "--config", config)
    assert warnings(sip2gw, config) == []
    config.write_text(text.replace('"Wk3sPd6"', '"only for the tutorial"'))
    (warning,) = warnings(sip2gw, config)
    assert "password of account default is taken from an example" in warning


# Certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _certificate(authority: trustme.CA, directory: Path, name: str, until: datetime) -> None:
    made = authority.issue_cert("gateway.example", not_after=until)
    made.private_key_pem.write_to_path(directory / f"{name}.key")
    made.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (60, ""),
        (29, r"server\.tls_certificate: .*server\.pem ends on .*; renew it before"),
        (-1, r"server\.tls_certificate: .*server\.pem ended on .*; renew it"),
    ],
)
def test_a_certificate_that_ends_soon(
    config: Path, authority: trustme.CA, days: int, told: str
) -> None:
    now = datetime.now(UTC)
    _certificate(authority, config.parent, "server", now + timedelta(days=days))
    files = 'tls_certificate = "server.pem"\ntls_key = "server.key"\n'
    config.write_text(CONFIG.replace("[server]\n", f"[server]\n{files}"))
    found = list(about_certificates(load_config(config), now))
    assert len(found) == bool(told)
    assert re.search(told, "".join(found)), found


def test_a_file_without_a_certificate(sip2gw: Run, config: Path) -> None:
    """The gateway would not start with it, and would refuse the reload."""
    for name in ("server.pem", "server.key"):
        config.with_name(name).write_text("-----BEGIN CERTIFICATE-----\nMIIB")
    files = 'tls_certificate = "server.pem"\ntls_key = "server.key"\n'
    config.write_text(CONFIG.replace("[server]\n", f"[server]\n{files}"))
    (end,) = about_certificates(load_config(config), datetime.now(UTC))
    assert "server.pem holds no certificate that can be read" in end
    result = sip2gw("check", "--config", config)
    assert result.status == 2
    assert "server.key cannot be used with tls_certificate" in result.err


def test_a_key_of_another_certificate_at_the_library_system(
    config: Path, authority: trustme.CA
) -> None:
    now = datetime.now(UTC)
    for name in ("client", "other"):
        _certificate(authority, config.parent, name, now + timedelta(days=60))
    behind = (
        '[backend]\nkind = "sip2"\n[backend.sip2]\naddress = "ils:6001"\nlogin = "x"\ntls = true\n'
        'tls_certificate = "client.pem"\ntls_key = "other.key"\n'
    )
    config.write_text(CONFIG + behind)
    (told,) = about_certificates(load_config(config), now)
    assert "other.key is not the key of tls_certificate" in told


def test_a_certificate_that_no_listener_uses(config: Path, authority: trustme.CA) -> None:
    _certificate(authority, config.parent, "server", datetime.now(UTC) + timedelta(days=60))
    keys = (
        '[server]\ntls_certificate = "server.pem"\ntls_key = "server.key"\n'
        'listen = [{ address = "127.0.0.1:6001", tls = false }]\n'
    )
    config.write_text(CONFIG.replace('[server]\nlisten = ["127.0.0.1:6001"]\n', keys))
    (told,) = about_listeners(load_config(config))
    assert told.startswith("server.tls_certificate: has no effect")


SECRET = "pP7wXz2Kd9QmT4vB8nLsR3yHc6JfG5aE"


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (("[branches.MAIN]", "[admin.tokens.T]\nrole = 'view'\n%s\n[branches.MAIN]"), "token_file"),
        (('password = "vM2xLq8"', "%s"), "password_file"),
        (("[store]", "[store]\n%s"), "pin_secret_file"),
    ],
)
def test_a_secret_that_every_user_of_the_machine_can_read(
    config: Path, place: tuple[str, str], key: str
) -> None:
    file = config.with_name("secret")
    file.write_text(SECRET)
    before, after = place
    assert before in CONFIG
    config.write_text(CONFIG.replace(before, after % f'{key} = "secret"', 1))
    settings = load_config(config)
    file.chmod(0o640)
    assert list(about_secret_files(settings)) == []
    file.chmod(0o644)
    (told,) = about_secret_files(settings)
    assert told.startswith(f"{key}: every user of this machine can read {file}; let only")
    file.unlink()
    assert list(about_secret_files(settings)) == []


def test_check_warns_of_a_key_that_everybody_can_read(
    sip2gw: Run, config: Path, authority: trustme.CA
) -> None:
    """The certificate beside it is public."""
    _certificate(authority, config.parent, "server", datetime.now(UTC) + timedelta(days=60))
    config.with_name("server.key").chmod(0o644)
    keys = 'tls_certificate = "server.pem"\ntls_key = "server.key"\n'
    config.write_text(CONFIG.replace("[server]\n", f"[server]\n{keys}"))
    (told,) = warnings(sip2gw, config)
    assert "tls_key: every user of this machine can read" in told


def test_behind_a_proxy_a_certificate_is_enough(config: Path, authority: trustme.CA) -> None:
    """Its terminal may come from everywhere, the proxy's address included."""
    _certificate(authority, config.parent, "server", datetime.now(UTC) + timedelta(days=60))
    authority.cert_pem.write_to_path(config.with_name("ca.pem"))
    keys = (
        '[server]\ntls_client_ca = "ca.pem"\n'
        'tls_certificate = "server.pem"\ntls_key = "server.key"\n'
    )
    known = _behind_a_proxy('login_required = false\ntls_client_name = "kiosk-1"')
    config.write_text(known.replace("[server]\n", keys))
    assert list(about_listeners(load_config(config))) == []


def test_the_end_of_a_certificate_beyond_2049_is_written_otherwise(authority: trustme.CA) -> None:
    """UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5)."""
    for year in (2049, 2050):
        until = datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC)
        made = authority.issue_cert("gateway.example", not_after=until)
        assert end_of(made.cert_chain_pems[0].bytes().decode()) == until


# The examples

_SHOWN = (
    r'password\s*=\s*"([^"]+)"',
    r"--password[ =]([A-Za-z0-9-]+)",
    r'--password[ =]"([^"]+)"',
    r'SIP2GW_PASSWORD=([^\s"]+)',
    r'SIP2GW_PASSWORD="([^"]+)"',
    r"\|CO([^|]+)\|",
)
_PLACEHOLDERS = {"P"}


def test_all_passwords_of_the_examples_are_known() -> None:
    """A new example needs a line in `cli/checking/examples.py`."""
    pages = [ROOT / "README.md", ROOT / "systemd/sip2gw.toml", *(ROOT / "docs").rglob("*.md")]
    texts = [page.read_text() for page in pages]
    shown = {found for text in texts for form in _SHOWN for found in re.findall(form, text)}
    assert {"only for the tutorial", "kiosk-demo"} <= shown
    assert shown - _PLACEHOLDERS <= EXAMPLE_PASSWORDS
    hashes = {found for text in texts for found in re.findall(r'password_hash = "(\$[^"]+)"', text)}
    assert hashes == EXAMPLE_HASHES
