"""What is imported only when it is needed (C136), and where that may wait (C114)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.demo import configuration
from sip2gw.foundation.later import Later, absent, loaded
from sip2gw.model import RelationshipType

LATE = "sip2gw.backend.staff.relationships"

LISTENING = """
import os, signal, sys
from sip2gw.config import load_config
from sip2gw.daemon.app import serve

def look(*addresses):
    print(*sys.modules)
    os.kill(os.getpid(), signal.SIGTERM)

serve(load_config(sys.argv[1]), look, access="make")
"""


@pytest.fixture(scope="module")
def listening(tmp_path_factory):
    """The modules of a gateway that listens."""
    file = tmp_path_factory.mktemp("late") / "sip2gw.toml"
    file.write_text(configuration("127.0.0.1:0", "127.0.0.1:0"))
    program = [sys.executable, "-c", LISTENING, str(file)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    "never",
    [
        "rich",
        "typer",
        "sip2gw.staff.members.patrons",
        "sip2gw.backend.staff.badges",
        "sip2gw.backend.staff.merging",
        "sip2gw.backend.staff.privacy",
        "sip2gw.backend.sql.members.maintenance",
        "sip2gw.backend.loading",
        "sip2gw.backend.postgres",
        "sip2gw.backend.upstream",
        "sip2gw.authentication.upstream",
    ],
)
def test_c136_a_gateway_listens_without_what_terminals_do_not_need(listening, never):
    assert "sip2gw.serving.gateway" in listening
    assert never not in listening


def test_a_module_is_imported_when_one_of_its_functions_is_called(monkeypatch):
    monkeypatch.delitem(sys.modules, LATE, raising=False)
    desk = Later(LATE)
    add = desk.add
    assert (add.__name__, LATE in sys.modules) == ("add", False)
    with pytest.raises(TypeError, match=r"add\(\) missing"):
        add()
    assert LATE in sys.modules


def test_what_is_loaded_needs_no_import_any_more(monkeypatch):
    monkeypatch.delitem(sys.modules, LATE, raising=False)
    add = loaded(Later(LATE).add)
    assert add is sys.modules[LATE].add
    assert loaded(add) is add


ANYBODY: Any = (RelationshipType.HEAD_OF_FAMILY, "P1", "P2")


class _NoStore:
    """Notes whether the module was there when the transaction began."""

    began_with = None

    async def write(self, job):
        self.began_with = LATE in sys.modules
        raise RefusedError("enough is known")


async def test_c114_nobody_waits_for_an_import_inside_a_write_transaction(monkeypatch):
    monkeypatch.delitem(sys.modules, LATE, raising=False)
    store: Any = _NoStore()
    with pytest.raises(RefusedError):
        await Library.confirm_relationship(store, *ANYBODY)
    assert store.began_with


def test_others_do_without_a_library_that_is_absent(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with absent("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)


def test_a_library_that_is_imported_already_stays():
    with absent("json"):
        import json
    assert sys.modules["json"] is json
