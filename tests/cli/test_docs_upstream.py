"""The pages about library systems: what they show is tried on systems that behave so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sip2gw.config import load_config
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.serving.site import build_site

from .conftest import Run
from .test_docs import ROOT, blocks
from .upstream_library import ANNA, Library, library

PAGES = ("library-system", "upstream-koha", "upstream-evergreen", "upstream-wise")
BODY = ANNA[: ANNA.index(b"PB")]
"""A 64 up to the fields in which the systems differ."""


def page(name: str) -> Path:
    return ROOT / "docs" / "how-to" / f"{name}.md"


def configured(
    name: str, tmp_path: Path, sip2gw: Run, there: Library | None = None, parts: int = 9
) -> Path:
    """The page's configuration, with its passwords, and `there` as the library system."""
    text = "\n".join(blocks(page(name), "toml")[:parts])
    for file in re.findall(r'password_file = "(.*?)"', text):
        (tmp_path / file).write_text("canary\n")
    hashed = sip2gw("hash-password", stdin=b"x\n").out.strip()
    text = text.replace('"…"', f'"{hashed}"')
    if there is not None:
        text = re.sub(r'address = ".*?"', f'address = "127.0.0.1:{there.port}"', text)
    file = tmp_path / "sip2gw.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_a_configuration_with_a_site(sip2gw: Run, tmp_path: Path, name: str) -> None:
    file = configured(name, tmp_path, sip2gw)
    result = sip2gw("check", "--config", file)
    assert result.status == 0, result.err
    assert "nobody gets in" not in result.err
    site = build_site(load_config(file), frozenset())
    assert {known.view.upstream and known.view.upstream.account for known in site.by_name.values()}


def test_the_lines_of_the_readme_put_any_gateway_in_front_of_a_library_system(
    sip2gw: Run, config: Path
) -> None:
    (added,) = blocks(ROOT / "README.md", "toml")
    config.with_name("ils.password").write_text("canary\n")
    config.write_text(f"{config.read_text()}\n{added}")
    result = sip2gw("check", "--config", config)
    assert result.status == 0, result.err
    (account,) = load_config(config).accounts.values()
    assert (account.address.host, account.login) == ("ils.example", "gateway")
    assert account.facts.birth_date is not None


@pytest.mark.parametrize(
    ("name", "fields", "facts"),
    [
        ("upstream-koha", b"PB19800501|PCYOUTH|", ["PB → birth_date", "PC → membership 202"]),
        (
            "upstream-evergreen",
            b"PB19800501|PA20261231|PCPatrons|AQBR1|",
            [
                "PB → birth_date",
                "PA → membership_until",
                "PC → membership 201",
                "AQ → home_branch MAIN",
            ],
        ),
        ("upstream-wise", b"GLONBE|", ["GL → badges ONBE"]),
    ],
)
def test_its_facts_are_found_in_what_such_a_system_sends(
    sip2gw: Run, tmp_path: Path, name: str, fields: bytes, facts: list[str]
) -> None:
    with library(_63=BODY + fields) as there:
        file = configured(name, tmp_path, sip2gw, there)
        result = sip2gw("upstream", "check", "--card", "1001", "--config", file)
    assert result.status == 0, result.err
    shown = re.findall(r"^  (\w\w) .*(→ .*)$", result.err, re.MULTILINE)
    assert [" ".join(one) for one in shown] == facts
    assert "unknown" not in "".join(map(str, shown))
    preset = load_config(file).source.backend.sip2
    assert preset is not None
    assert tomllib.loads(result.out)["backend"]["sip2"].get("preset", "none") == preset.preset
    assert preset.preset in PRESETS


def test_the_check_says_what_the_page_shows(sip2gw: Run, tmp_path: Path) -> None:
    with library() as there:
        file = configured("library-system", tmp_path, sip2gw, there, parts=1)
        result = sip2gw(
            "upstream", "check", "--account", "default", "--card", "1001", "--config", file
        )
    said = re.sub(r"to a \d\d, took \d+ ms", "to a 63, took 12 ms", result.err)
    said = said.replace(f"127.0.0.1:{there.port}", "ils.example:6001")
    (shown,) = blocks(page("library-system"), "text")
    assert said == shown
