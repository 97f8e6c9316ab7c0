"""When a patron may be forgotten, and how texts may name them (B91, C146)."""

from __future__ import annotations

import json
from unicodedata import normalize

import pytest

from sip2gw.policy.members.privacy import (
    Lookout,
    Ties,
    reasons_to_keep,
    wording,
)

STUB = "~0a"
ANN = wording(("21234567890001", "77"), "Maes, Ann", ["ann@example.org", "Hoek 1"])


@pytest.mark.parametrize(
    ("ties", "reasons"),
    [
        (Ties(), []),
        (Ties(owed=150), ["150 cents is owed"]),
        (Ties(credit=20), ["a credit of 20 cents is left"]),
        (Ties(surplus=5), ["5 cents was paid too much and not given back"]),
        (Ties(loans=1), ["1 item is on loan"]),
        (Ties(loans=2), ["2 items are on loan"]),
        (Ties(ready_holds=1), ["1 hold waits on the shelf"]),
        (Ties(pending=1), ["1 payment is not entered in the library system yet"]),
        (Ties(unknown=2), ["2 transactions have an unknown outcome"]),
        (Ties(owed=1, loans=1), ["1 cents is owed", "1 item is on loan"]),
    ],
)
def test_what_keeps_a_patron(ties: Ties, reasons: list[str]) -> None:
    assert reasons_to_keep(ties, lambda minor: f"{minor} cents") == reasons


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Ann Maes", STUB),
        ("MAES  ann was here", f"{STUB} was here"),
        ("for Maes,\nAnn.", f"for {STUB}."),
        ("Ann Maesschalck", "Ann Maesschalck"),
        ("Joann Maes", "Joann Maes"),
        ("Ann met Maes", "Ann met Maes"),
        ('["a line\\nAnn Maes"]', f'["a line\\n{STUB}"]'),
        ("card 21234567890001", f"card {STUB}"),
        ("K2026212345678900019", f"K2026{STUB}9"),
        ("2123456789000", "2123456789000"),
        ("write to ANN@example.org", f"write to {STUB}"),
        ("joann@example.org", "joann@example.org"),
        ("at Hoek 1", f"at {STUB}"),
        ("at Hoek 12", "at Hoek 12"),
        ("77 books", "77 books"),
        ("", ""),
    ],
)
def test_a_text_about_somebody_else(before: str, after: str) -> None:
    assert ANN.without(before, STUB, own=False) == after
    assert ANN.names_them(before, own=False) == (before != after)


def test_a_short_number_counts_only_in_their_own_texts() -> None:
    assert ANN.without("77|100|EUR", STUB, own=True) == f"{STUB}|100|EUR"
    assert ANN.without("177|100|EUR", STUB, own=True) == "177|100|EUR"
    assert ANN.names_them("77|100|EUR", own=True)


ODD = 'Zoë "Zed" O\\Brien'


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        ODD.upper(),
        normalize("NFD", ODD),
        json.dumps([ODD]),
        json.dumps([ODD], ensure_ascii=False),
        'O\\Brien, Zoë "Zed"',
    ],
)
def test_a_name_is_found_however_it_is_written(text: str) -> None:
    words = wording((), ODD, ())
    assert words.names_them(text, own=False)
    assert "rien" not in words.without(text, STUB, own=False).lower()
    assert Lookout({"zoe": words, "ann": ANN}).named_in(text) == ["zoe"]


def test_a_text_that_names_nobody_is_left_as_it_is() -> None:
    composed = normalize("NFD", "Zoë")
    assert ANN.without(composed, STUB, own=True) == composed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Иван Петров", "дал ИВАН ПЕТРОВ"),
        ("Иван Петров", json.dumps(["Иван Петров"])),
        ("Nikos Παππάς", "ΝΊΚΟΣ? nikos ΠΑΠΠΆΣ"),
        ("Y\u0131ld\u0131r\u0131m", "YILDIRIM was here"),
        ("Yildirim", "Y\u0131ld\u0131r\u0131m was here"),
        ("İbrahim", "ibrahim was here"),
        ("ibrahim", "İBRAHIM was here"),
        ("Hei\u017fenberg", "heisenberg"),
        ("𠮷野家太郎君", json.dumps(["𠮷野家太郎君"])),
        ("??? ???", "(???, ???)"),
    ],
)
def test_names_are_found_in_every_script(name: str, text: str) -> None:
    words = wording((), name, ())
    assert words.names_them(text, own=False)
    assert Lookout({"who": words}).named_in(text) == ["who"]


def test_of_many_patrons_those_are_found_who_are_named() -> None:
    """A long number counts as a part of another, and a name may have several bearers."""
    people = {
        "1": wording(("21234567890001",), "Ann Maes", ()),
        "2": wording(("21234567890002",), "Maes, Ann", ()),
        "3": wording(("31234567890003",), "Bob Nys", ["bob@example.org"]),
    }
    lookout = Lookout(people)
    assert lookout.named_in("K2026-x212345678900029") == ["2"]
    assert lookout.named_in("Ann Maes met bob@example.org") == ["1", "2", "3"]
    assert lookout.named_in("Maes met Bob at example.org") == []
    assert lookout.named_in("") == []
    assert Lookout({}).named_in("Ann Maes") == []


@pytest.mark.parametrize("name", ["", " , "])
def test_without_a_name_nothing_is_found(name: str) -> None:
    words = wording(("",), name, ("",))
    assert words.fragments == ()
    assert not words.names_them("", own=True)
    assert not words.names_them("anything", own=True)
