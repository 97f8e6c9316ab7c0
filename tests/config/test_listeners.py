"""Where terminals come in, as the configuration says it.  (B88, C132, C170)"""

from pathlib import Path

import pytest

from sip2gw.config import Address, Config, ConfigError, Listener, UnixAddress, load_config

BASE = '[institution]\nid = "HUB"\n[profiles.p]\nkind = "auth"\n'


def load(directory: Path, server: str, terminals: str = "") -> Config:
    path = directory / "site.toml"
    path.write_text(f"{BASE}{terminals}[server]\n{server}\n")
    return load_config(path)


def test_plain_addresses_and_tables_in_one_list(tmp_path: Path) -> None:
    text = """listen = ["127.0.0.1:6001", { address = "[::1]:6002", proxy = true }, "unix:run/a",
        { address = "unix:/run/b", proxy = true }]"""
    assert load(tmp_path, text).listeners == (
        Listener(Address("127.0.0.1", 6001)),
        Listener(Address("::1", 6002), proxy=True),
        Listener(UnixAddress(tmp_path / "run" / "a")),
        Listener(UnixAddress(Path("/run/b")), proxy=True),
    )


def test_a_text_and_a_table_with_nothing_but_an_address_are_the_same(tmp_path: Path) -> None:
    """A reload compares them."""
    as_text = load(tmp_path, 'listen = ["127.0.0.1:6001"]')
    as_table = load(tmp_path, 'listen = [{ address = "127.0.0.1:6001" }]')
    unset = load(tmp_path, "")
    assert as_text.server == as_table.server
    assert as_text.listeners == as_table.listeners == unset.listeners


def test_the_alias_is_for_all_addresses(tmp_path: Path) -> None:
    text = 'listen = ["127.0.0.1:6001", { address = "127.0.0.1:6002", proxy = true }]\n'
    assert [it.proxy for it in load(tmp_path, text).listeners] == [False, True]
    both = load(tmp_path, f"{text}proxy_protocol = true").listeners
    assert [it.proxy for it in both] == [True, True]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:10.1.2.3", True),
        ("10.1.2.4", False),
        ("fe80::1%eth0", False),
        ("unix", False),
        ("", False),
    ],
)
def test_only_proxies_are_believed(tmp_path: Path, peer: str, trusted: bool) -> None:
    text = 'proxy_networks = ["127.0.0.0/8", "::1", "10.1.2.3"]'
    assert load(tmp_path, text).server.trusts(peer) is trusted


def test_terminals_that_a_unix_socket_cannot_serve_are_named_but_not_all_of_them(
    tmp_path: Path,
) -> None:
    one = '[terminals.t{}]\nprofile = "p"\npassword = "x"\nnetworks = ["10.0.0.{}/32"]\n'
    terminals = "".join(one.format(n, n) for n in range(5))
    with pytest.raises(ConfigError) as problem:
        load(tmp_path, 'listen = ["unix:a"]', terminals)
    (line,) = problem.value.problems
    names = "terminals.t0.networks, terminals.t1.networks, terminals.t2.networks and 2 more;"
    assert names in line


@pytest.mark.parametrize(
    ("networks", "welcome"), [("", True), ('networks = ["10.0.0.0/8"]\n', False)]
)
def test_who_has_no_address_is_no_terminal_that_must_have_one(
    tmp_path: Path, networks: str, welcome: bool
) -> None:
    table = f'[terminals.t]\nprofile = "p"\npassword = "x"\n{networks}'
    terminal = load(tmp_path, "", table).terminals["t"]
    assert terminal.allows_address("unix") is welcome
