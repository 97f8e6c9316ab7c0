"""A library on disk, and the command line called as a shell would call it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from once import Once

from sip2gw.cli import main
from sip2gw.demo import configuration

_libraries = Once()

CONFIGURATION = configuration("127.0.0.1:0", "127.0.0.1:0")

LIBRARY = """\
{"kind": "membership", "code": "201", "description": "Adult", "type": 0, "max_fees_self_service": "10.00"}
{"kind": "badge", "code": "ONBE", "name": "Hours without staff"}
{"kind": "patron", "id": "P1", "name": "Anna Claes", "membership": "201", "birth_date": "1980-01-01", "membership_until": "2099-12-31", "badges": ["ONBE"], "blocks": []}
{"kind": "patron", "id": "P2", "name": "Dirk Wouters", "membership": "201", "birth_date": "2015-01-01", "membership_until": "2099-12-31", "badges": ["ONBE"], "cards": [{"number": "OLD2", "state": "replaced"}]}
{"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "P2"}
{"kind": "fee", "id": "F2", "patron": "P2", "amount": "12.50", "created": "2026-01-10"}
"""  # noqa: E501 -- one record a line is the format


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def sip2gw(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call `sip2gw` with arguments (and bytes on standard input) and get what it left behind."""
    for name in ("SIP2GW_CONFIG", "SIP2GW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["sip2gw", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        status = end.value.code
        return Result(status if isinstance(status, int) else 0, out, err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of the demo's terminals, with an empty store."""
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIGURATION)
    return file


@pytest.fixture
def library(config: Path, sip2gw: Run) -> Path:
    """The same with two patrons in it."""
    data = config.with_name("library.jsonl")
    data.write_text(LIBRARY)
    if not _libraries.give("library", config.parent):
        result = sip2gw("import", data, "--config", config)
        assert result.status == 0, result.err
        _libraries.keep("library", config.with_name("library.db"))
    return config
