"""`/patrons`: the same as the commands, for programs (B49, B83, B84, B91, C41, C176)."""

from typing import Any

import pytest
from programs import Site

LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {"kind": "badge", "code": "ONBE", "name": "Open library", "branches": ["MAIN", "EAST"]},
    {
        "kind": "patron",
        "id": "P1",
        "name": "Ann Maes",
        "birth_date": "1980-02-29",
        "membership": "201",
        "membership_until": "2099-12-31",
        "cards": [{"number": "C1"}, {"number": "OLD1", "state": "replaced"}],
        "badges": [{"code": "ONBE", "from": "2026-01-01", "branches": ["MAIN"]}],
        "blocks": [{"type": "payment", "note": "ask"}],
    },
    {"kind": "patron", "id": "P2", "name": "Bob Maes", "birth_date": "2015-01-01"},
    {"kind": "patron", "id": "P3", "name": "Aïda Claes", "membership": "201"},
    {"kind": "fee", "id": "F2", "patron": "P2", "amount": "12.50", "created": "2026-01-10"},
]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


@pytest.fixture
def behind(tmp_path):
    made = Site(tmp_path, behind=True)
    yield made
    made.close()


def test_a_patron_is_shown_as_by_the_command(site):
    shown = site.ask("GET", "/patrons/C1", role="staff")
    assert (shown.status, shown.json) == (200, site.listed("patron", "show", "P1")[0])
    assert shown.json["cards"][0] == {"number": "C1", "state": "active"}
    assert site.audit() == [("staff", "patron show", "", "P1", "done")]


@pytest.mark.parametrize("text", ["maes", "OLD1", "P3", "aida", "nobody"])
def test_patrons_are_found_as_by_the_command(site, text):
    found = site.ask("GET", "/patrons", find=text)
    assert found.json == {"items": site.listed("patron", "find", text), "next": None}


def test_what_is_found_comes_in_pages(site):
    first = site.ask("GET", "/patrons", find="s", limit=2).json
    assert [one["name"] for one in first["items"]] == ["Ann Maes", "Aïda Claes"]
    second = site.ask("GET", "/patrons", find="s", limit=2, cursor=first["next"]).json
    assert ([one["name"] for one in second["items"]], second["next"]) == (["Bob Maes"], None)


def test_a_report_is_that_of_the_command(site):
    """B91: all that is kept, and never the PIN's hash."""
    site.ask("PUT", "/patrons/P1/pin", {"pin": "4711"})
    told = site.ask("GET", "/patrons/C1/report", role="staff")
    assert "argon2" not in told.text
    entries = [one for one in told.json["entries"] if one["kind"] != "audit entry"]
    listed = site.listed("patron", "report", "P1")
    assert entries == [one for one in listed if one["kind"] != "audit entry"]
    assert {"patron", "card", "block", "badge"} <= {one["kind"] for one in entries}


# PINs -------------------------------------------------------------------------------------------


def test_a_pin_is_set_and_told_to_nobody(site, capfd):
    told = site.ask("PUT", "/patrons/OLD1/pin", {"pin": "cafe4711"}, role="staff")
    assert (told.status, told.text) == (204, "")
    assert site.ask("GET", "/patrons/P1").json["has_pin"] is True
    assert site.audit()[0] == ("staff", "patron set-pin", "", "P1", "done")
    everything = [site.command("audit", "--json").output, *capfd.readouterr()]
    everything += [file.read_text("latin-1") for file in site.config.parent.glob("library.db*")]
    assert not any("cafe4711" in text for text in everything)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"pin": "9" * 101}, "body.pin"),
        ({"pin": ""}, "body.pin"),
        ({"pin": 98765}, "body.pin"),
        ({"pin": ["98765"]}, "body.pin"),
        ({"pin": "98765", "card": "C1"}, "body.card"),
        ({}, "body.pin"),
        (["98765"], "body"),
    ],
)
def test_a_refused_pin_is_not_repeated(site, body, where):
    told = site.ask("PUT", "/patrons/P1/pin", body)
    assert told.refusal == (422, "the request is not what the description says")
    assert [one["where"] for one in told.json["problems"]] == [where]
    assert not any(digits in told.text for digits in ("987", "999"))


def test_a_library_system_has_its_pins_itself(behind):
    """B74."""
    status, detail = behind.ask("PUT", "/patrons/P1/pin", {"pin": "4711"}).refusal
    assert (status, detail.partition(";")[0]) == (409, "the library system has the PINs")


def test_whom_only_the_library_system_knows_explain_can_tell_of(behind):
    """B74."""
    status, detail = behind.ask("DELETE", "/patrons/A123/blocks").refusal
    assert (status, "`sip2gw explain --terminal T --card A123`" in detail) == (404, True)


# Blocks -----------------------------------------------------------------------------------------


def test_a_patron_is_blocked_and_unblocked_c41(site):
    block = {"type": "general", "note": "desk", "until": "2099-05-01"}
    made = site.ask("POST", "/patrons/C1/blocks", block, role="staff")
    assert (made.status, made.json) == (201, {"patron": "P1", "source": "staff", **block})
    assert {"source": "staff", **block} in site.ask("GET", "/patrons/P1").json["blocks"]
    lifted = site.ask("DELETE", "/patrons/P1/blocks", role="staff").json
    assert lifted == {"patron": "P1", "lifted": 1, "imported": 1, "pin_unlocked": False}
    assert site.ask("DELETE", "/patrons/P1/blocks").refusal == (
        409,
        "patron P1 has no block set by staff or a terminal; 1 imported block can be lifted only by"
        " an import",
    )
    assert site.ask("DELETE", "/patrons/9/blocks").status == 404
    assert [row[1:] for row in site.audit() if row[1] != "patron show"] == [
        ("patron block", "", "P1", "done"),
        ("patron unblock", "", "P1", "done"),
        ("patron unblock", "", "P1", "refused"),
        ("patron unblock", "", "", "refused"),
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "other"},
        {"until": "2099-02-30"},
        {"until": "tomorrow"},
        {"until": "2099-05-01T00:00:00"},
        {"until": 4081622400},
        {"note": "x" * 2_001},
        {"days": 3},
    ],
)
def test_a_block_that_is_none_is_refused(site, block):
    assert site.ask("POST", "/patrons/P1/blocks", block).status == 422
    assert site.audit() == []


def test_a_day_that_is_none_is_told_in_our_words(site):
    told = site.ask("POST", "/patrons/P1/blocks", {"until": "tomorrow"})
    problem = {"where": "body.until", "problem": "write a day as YYYY-MM-DD"}
    assert told.json["problems"] == [problem]


# Doubles and ends -------------------------------------------------------------------------------


def test_two_records_become_one_and_once_only(site):
    """B49: a request that is repeated with its key gets the first answer again."""
    tried = site.ask("POST", "/patrons/P1/merge", {"former": "P3", "dry_run": True})
    assert (tried.json["former"], tried.json["lasting"]) == ("P3", "P1")
    assert site.ask("GET", "/patrons/P3").status == 200
    once = {"idempotency-key": "m1"}
    merged = site.ask("POST", "/patrons/C1/merge", {"former": "P3"}, headers=once)
    assert merged.status == 200
    assert merged.json == {**tried.json, "dry_run": False}
    again = site.ask("POST", "/patrons/C1/merge", {"former": "P3"}, headers=once)
    assert again.json == merged.json
    assert site.ask("POST", "/patrons/P1/merge", {"former": "P3"}).refusal == (
        409,
        "P3 and P1 are one patron already: P1; nothing to merge",
    )
    assert site.ask("POST", "/patrons/P1/merge", {"former": "9"}).status == 404


def test_a_rehearsed_merge_is_no_change_in_the_log(site):
    site.ask("POST", "/patrons/P1/merge", {"former": "P3", "dry_run": True})
    assert site.audit() == [("admin", "patron merge", "", "P1", "rehearsed")]
    site.ask("POST", "/patrons/P1/merge", {"former": "P3"})
    assert site.audit()[1:] == [
        ("admin", "patron merge", "", "P1", "done"),
        ("admin", "patron merge", "", "P3", "done"),
    ]


def test_a_patron_is_forgotten(site):
    """B91, C146: not before what ties them is settled, unless somebody insists."""
    status, reason = site.ask("DELETE", "/patrons/P2").refusal
    assert (status, "EUR 12.50" in reason) == (409, True)
    forgotten = site.ask("DELETE", "/patrons/P2", force="true")
    assert (forgotten.status, forgotten.json["stub"][0]) == (200, "~")
    assert site.ask("DELETE", "/patrons/P2").status == 404
    assert site.ask("GET", "/patrons/P2").status == 404
    assert "P2" not in str(site.audit())
