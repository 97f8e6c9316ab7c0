"""Nothing reaches a screen that is not from the catalogue: every text is marked (B29)."""

import ast
import json
import re
from functools import cache
from itertools import cycle, product
from pathlib import Path

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_37, ask_63, debt, person, running

import sip2gw
from sip2gw.model import BlockType
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.registry import RESPONSES, requests_in
from sip2gw.texts import BUILT_IN, TEXT_KEYS, placeholders

pytestmark = pytest.mark.no_cover

CODES = {"nl": "005", "en": "001", "fr": "002", "de": "003"}
SOURCE = Path(sip2gw.__file__).parent


def marked(language, key):
    """A text that says which it is, with all its placeholders."""
    names = "".join(f" {{{name}}}" for name in sorted(placeholders(BUILT_IN[language][key])))
    return f"<{language}.{key}>{names}"


TEXTS = "".join(
    f"[texts.{language}]\n"
    + "".join(f"{key} = {json.dumps(marked(language, key))}\n" for key in TEXT_KEYS)
    for language in BUILT_IN
)
MARKED = re.compile(r"<(\w\w)\.(\w+)>( ([^<>]|<\w\w\.\w+>)*)?")
"""A text, perhaps with another one in it: why a title was not renewed."""
PEOPLE = [
    *LIBRARY,
    *(person(f"20{status}0", "Stan Status", status=status) for status in (4, 6, 7, 9)),
    *(
        person(f"300{n}", "Blok Blocked", blocks=[{"type": kind}])
        for n, kind in enumerate(BlockType)
    ),
    person("4001", "Kid Young", birth_date="2020-01-01"),
    person("4002", "Later Member", membership_from="2026-12-01"),
    person("4003", "No Member", membership=None),
    debt("X1", "4001", "1.00", status="I"),
]
CARDS = ("1001", "1001B", "1001R", "1002", "1004", "1006", "1010", "1011", "4711", "")


def screen(answer):
    """AF and AG of an answer."""
    layout = layout_of(RESPONSES[answer[:COMMAND_WIDTH]])
    parts = answer[COMMAND_WIDTH + layout.fixed_width :].split("|")
    return [part[2:] for part in parts if part[:2] in ("AF", "AG")]


def requests(card, pin, language):
    """Every request about a card, in the plainest form."""
    code = CODES[language]
    yield ask_23(card, pin, language=code)
    yield ask_63(card, pin, language=code)
    yield ask_37(card, "0.01", pin=pin)
    yield ask_37(card, "0.01", pin=pin, kind="09")
    yield ask_37(card, "999.00", pin=pin)
    yield ask_37(card, "1.00", pin=pin, fee="NONE")
    yield ask_37(card, "1.00", pin=pin, currency="XXX")
    yield f"25{STAMP}AOHUB|AA{card}|AC|AD{pin}|"
    for request in requests_in("standard").values():
        if request.code not in ("93", "96", "97", "99", "23", "63", "37", "25"):
            body = f"{request.code}{' ' * layout_of(request).fixed_width}"
            yield f"{body}AOHUB|AA{card}|AB1|AC|AD{pin}|"


@pytest.fixture
async def marking(tmp_path):
    async with running(tmp_path, config=CONFIG + TEXTS, records=PEOPLE) as gateway:
        yield gateway


async def test_every_screen_text_is_one_of_the_catalogue_b29(marking):
    seen = set()
    people = dict.fromkeys([*CARDS, *(r["id"] for r in PEOPLE if r["kind"] == "patron")])
    # The desk blocks whomever it is asked to, so it comes last.
    logins = ("door-1", "door-shut", "door-nowhere", "door-facts", "kiosk-1", "pay-1", "desk-1")
    for login, language in zip(logins, cycle(BUILT_IN), strict=False):
        terminal = await marking.terminal(login)
        # A wrong PIN locks the card: only at the last one.
        pins = ("right", "", "0") if login == logins[-1] else ("right", "")
        for card, pin in product(people, pins):
            for request in requests(card, pin.replace("right", card[:4]), language):
                seen |= await texts_of(terminal, request)
    seen |= await texts_of(await marking.connect(), ask_23("1001", "1001"))
    assert len(seen) >= 40, f"too few to prove anything: {sorted(seen)}"


async def texts_of(terminal, request):
    """The keys of what the screen shows."""
    keys = set()
    for text in screen(await terminal.ask(request)):
        match = MARKED.fullmatch(text)
        assert match is not None, f"{request}: {text}"
        assert "{" not in text
        keys.add(match[2])
    return keys


@pytest.mark.parametrize("language", BUILT_IN)
async def test_the_texts_are_in_the_language_that_was_asked_for(marking, language):
    kiosk = await marking.terminal("kiosk-1")
    for text in screen(await kiosk.ask(ask_63("1004", "1004", language=CODES[language]))):
        assert text.startswith(f"<{language}.fee_limit> ")


@cache
def sources():
    return [
        (file.name, ast.parse(file.read_text(encoding="utf-8")))
        for file in sorted(SOURCE.rglob("*.py"))
        if "texts" not in file.relative_to(SOURCE).parts or file.name == "payments.py"
    ]


def test_every_text_of_the_catalogue_is_used():
    words = {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = tuple(word for word in words if word in ("status_", "block_", "fee_type_"))
    assert [key for key in TEXT_KEYS if key not in words and not key.startswith(made)] == []


def spoken(tree):
    """What is assigned or passed as `screen_message` or `print_line`."""
    for node in ast.walk(tree):
        names = {"screen_message", "print_line"}
        if isinstance(node, ast.keyword) and node.arg in names:
            yield node.value
        if isinstance(node, ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Attribute)]
            if any(target.attr in names for target in targets):
                yield node.value


def test_no_handler_speaks_words_of_its_own():
    """A literal in what is said is only ever the key of a text."""
    found = 0
    for name, tree in sources():
        for value in spoken(tree):
            found += 1
            keys = {
                id(argument)
                for call in ast.walk(value)
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "text"
                for argument in call.args
            }
            for node in ast.walk(value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert id(node) in keys, f"{name}: {node.value}"
                    assert node.value in TEXT_KEYS, f"{name}: {node.value}"
    assert found >= 6
