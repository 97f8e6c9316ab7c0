"""The short form of `python tests/proofs mutants`: what it draws, and that a test notices."""

import ast

import pytest
from proofs.mutants import ROOT, SAME, Mutant, change, drawn, judged
from proofs.places import places

SEED = "5aeae8b8a263830df3afc82421c5527a77107ffa"


def after(source: str) -> set[str]:
    """What `places` puts into it, one place at a time."""
    text = source.encode()
    return {
        (text[: place.start] + choice.encode() + text[place.end :]).decode()
        for place in places(text)
        for choice in place.choices
    }


@pytest.mark.parametrize(
    ("source", "spoiled"),
    [
        ("x = a < b", {"x = (a <= b)", "x = (a >= b)"}),
        ("x = a in b", {"x = (a not in b)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = 1", {"x = (2)", "x = (0)"}),
        ("x = True", {"x = (False)"}),
        ("x = f(a, b)", {"x = (f(b, a))"}),
        ("x = a if b else c", {"x = (c if b else a)"}),
        ("f()", {"pass"}),
        ("raise X", {"pass"}),
        ("def f():\n    return x", {"def f():\n    return None"}),
        # Nothing to see in these.
        ("'''A docstring.'''", set()),
        ("x: A | B", set()),
        ("@d(1)\ndef f(): ...", set()),
        ("x = f'{a + b}'", set()),
    ],
)
def test_how_a_line_is_spoiled(source, spoiled):
    assert after(source) == spoiled


def test_a_seed_draws_the_same_and_fewer_are_the_first_of_more():
    money = ["sip2gw/policy/money"]
    more = drawn(SEED, 40, money)
    assert drawn(SEED, 20, money) == more[:20]
    assert drawn("another", 20, money) != more[:20]
    for mutant in more:
        ast.parse(mutant.source)


def test_some_files_alone_are_spoiled_when_they_are_named():
    named = ["sip2gw/policy/hours/stays.py", "sip2gw/policy/items"]
    assert all(mutant.file.startswith(tuple(named)) for mutant in drawn(SEED, 1_000, named))
    assert {mutant.file for mutant in drawn(SEED, 1_000, named[:1])} == set(named[:1])


@pytest.mark.parametrize(("file", "said"), SAME)
def test_what_changes_nothing_can_still_be_drawn(file, said):
    source = (ROOT / file).read_bytes()
    drawable = {change(source, place, to) for place in places(source) for to in place.choices}
    assert said in drawable, "the line is another one now: forget it"


def test_a_spoiled_rule_is_noticed(tmp_path):
    file = "sip2gw/policy/hours/stays.py"
    source = (ROOT / file).read_bytes()
    assert b"closing is not None" in source
    changed = source.replace(b"closing is not None", b"closing is None")
    mutant = Mutant(file, 27, "closing is not None", "closing is None", "", changed)
    assert judged([mutant], tmp_path, True) == ["noticed"]
