"""The units for several institutions are those for one, but for the names (C133)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sip2gw.config import load_config
from sip2gw.serving.arrivals import BACKLOG

UNITS = Path(__file__).parents[2] / "systemd"
KINDS = (".service", ".socket", ".timer")
ONE = [path for path in sorted(UNITS.iterdir()) if path.suffix in KINDS and "@" not in path.name]
NAMES = (
    (r"^(Description=.*)$", r"\1 (%i)"),
    (r"/etc/sip2gw/sip2gw\.toml", "/etc/sip2gw/%i.toml"),
    (r"/etc/sip2gw/secrets/", "/etc/sip2gw/secrets/%i-"),
    (r"/var/lib/sip2gw", "/var/lib/sip2gw-%i"),
    (r"^(User|Group|RuntimeDirectory)=sip2gw$", r"\1=sip2gw-%i"),
    (r"^StateDirectory=.*$", lambda line: line[0].replace("sip2gw", "sip2gw-%i")),
)
"""What an institution of several has of its own."""


def of_institutions(unit: str) -> str:
    """A unit of one institution, as a template for several."""
    for pattern, its in NAMES:
        unit = re.sub(pattern, its, unit, flags=re.MULTILINE)
    return unit


@pytest.mark.parametrize("path", ONE, ids=lambda it: it.name)
def test_the_template_is_the_unit_with_the_names_of_the_institution(path: Path) -> None:
    template = path.with_name(path.name.replace(path.stem, f"{path.stem}@"))
    assert template.read_text() == of_institutions(path.read_text())


def listened_at(unit: str) -> list[str]:
    return re.findall(r"^ListenStream=(.*)$", unit, re.MULTILINE)


def test_the_socket_unit_listens_where_the_example_does() -> None:
    """Elsewhere the gateway would not start (B89)."""
    unit = (UNITS / "sip2gw.socket").read_text()
    config = load_config(UNITS / "sip2gw.toml")
    addresses = [listener.address for listener in config.listeners]
    assert listened_at(unit) == [*map(str, addresses), str(config.admin.address)]
    assert f"\nBacklog={BACKLOG}\n" in unit
