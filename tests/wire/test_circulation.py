"""Circulation as bytes: the dialogues in `circulation/*.txt`, played against a running gateway.

Each dialogue begins with `== TITLE` and a fresh library (`desk` and what is here added to it; it is
noon on 10 March 2026). A line
`TERMINAL > BYTES` is what a terminal sends, `TERMINAL < BYTES` what it must get, without AY, AZ and
line end, which are added and checked here. Every reason for a refusal occurs, in its own words.
"""

import asyncio
from shutil import copytree

import pytest
from circulated import CONFIG, LIBRARY, dialogues
from harness import running

from sip2gw.policy.reasons import CIRCULATION_REASONS, CirculationReason
from sip2gw.protocol.checksum import seal
from sip2gw.texts.english import TEXTS

pytestmark = pytest.mark.no_cover

REQUESTS = {"09", "11", "15", "17", "19", "29", "65", "63"}
"""63 tells what became of the money."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A directory with the library as each dialogue finds it."""
    directory = tmp_path_factory.mktemp("desk")

    async def fill():
        async with running(directory, config=CONFIG, records=LIBRARY):
            pass

    asyncio.run(fill())
    return directory


@pytest.mark.parametrize("lines", list(dialogues()))
async def test_is_answered_byte_for_byte(tmp_path, library, lines):
    copytree(library, tmp_path, dirs_exist_ok=True)
    async with running(tmp_path, config=CONFIG, records=[]) as gateway:
        terminals = {}
        for number, (name, direction, text) in enumerate(lines):
            if name not in terminals:
                terminals[name] = await gateway.terminal(name)
            digit = b"%d" % (number // 2 % 10)
            if direction == ">":
                await terminals[name].send(seal(text.encode("ascii"), digit, True) + b"\r")
            else:
                answer = await terminals[name].read()
                assert answer == seal(text.encode("ascii"), digit, True).decode("ascii")
        assert gateway.store.self_check() == []


def test_each_request_and_each_refusal_occurs():
    lines = [line for param in dialogues() for line in param.values[0]]
    assert {text[:2] for _, direction, text in lines if direction == ">"} == REQUESTS
    told = [text for _, direction, text in lines if direction == "<"]
    for reason, entry in CIRCULATION_REASONS.items():
        if reason is CirculationReason.BLOCKED:
            continue  # says what stands against the patron, see "blocked" in the files
        spoken = TEXTS[entry.text_key].partition("{")[0]
        assert any(f"|AF{spoken}" in text for text in told), reason
