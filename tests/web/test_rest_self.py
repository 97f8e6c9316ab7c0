"""`/self`: what a library's own website does for patrons (B50, C176)."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from programs import Site

from sip2gw.backend.base import RefusedError
from sip2gw.config import load_config
from sip2gw.staff.actions import ACTIONS, REST_ONLY
from sip2gw.staff.members import self_service
from sip2gw.staff.members.self_service import TooManyGuessesError

PERSON: dict[str, Any] = {
    "kind": "patron",
    "birth_date": "1980-01-01",
    "membership": "201",
    "membership_until": "2099-12-31",
}
LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {**PERSON, "id": "P1", "name": "Ann", "cards": [{"number": "C1"}]},
    {**PERSON, "id": "P2", "name": "Bob", "birth_date": "1990-02-03", "cards": [{"number": "C2"}]},
    {**PERSON, "id": "P3", "name": "Cleo"},
    {**PERSON, "id": "P4", "name": "Dan", "membership_until": "2020-12-31"},
    {**{key: PERSON[key] for key in ("kind", "membership")}, "id": "P5", "name": "Eve"},
    {
        **PERSON,
        "id": "20001006",
        "name": "Fay",
        "birth_date": "1991-01-01",
        "cards": [{"number": "C7"}, {"number": "C8", "state": "replaced"}],
    },
]
BOB = {"card": "C2", "birth_date": "1990-02-03", "functions": ["pay"]}
PROPOSED = {
    "type": "authorisation",
    "from": "P1",
    "to": "P2",
    "functions": ["pay"],
    "confirmed": False,
    "proposed_by": "from",
}
IN_FORCE = {**PROPOSED, "confirmed": True}
UNKNOWN = (409, "no patron has this card and this birth date; look at both again")
OF_SELF = (
    ("GET", "/self/P1/authorisations"),
    ("POST", "/self/P1/authorisations"),
    ("POST", "/self/P1/authorisations/from/P2/confirm"),
    ("DELETE", "/self/P1/authorisations/from/P2"),
    ("DELETE", "/self/P1/authorisations/to/P2"),
    ("GET", "/self/P1/messages"),
    ("POST", "/self/P1/messages"),
    ("PUT", "/self/P1/house-rules"),
)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def ask(site, method, path, body=None, **options):
    return site.ask(method, f"/self{path}", body, role="self", **options)


def propose(site, patron="C1", **changes):
    return ask(site, "POST", f"/{patron}/authorisations", {**BOB, **changes})


def listed(site, patron):
    return ask(site, "GET", f"/{patron}/authorisations").json["items"]


def test_one_proposes_the_other_confirms_and_either_ends_it(site):
    made = propose(site)
    assert (made.status, made.json) == (201, PROPOSED)
    assert listed(site, "P1") == listed(site, "C2") == [PROPOSED]
    assert listed(site, "P3") == []
    assert ask(site, "POST", "/P1/authorisations/from/P2/confirm").status == 404
    assert ask(site, "POST", "/C2/authorisations/from/P1/confirm").json == IN_FORCE
    assert listed(site, "P1") == [IN_FORCE] == site.listed("relationship", "list")
    assert ask(site, "DELETE", "/P1/authorisations/to/P2").status == 204
    assert listed(site, "P2") == []
    propose(site)
    assert ask(site, "DELETE", "/P2/authorisations/from/P1").status == 204
    assert ask(site, "DELETE", "/P2/authorisations/from/P1").status == 404


def noted(site):
    """What the audit log says that they did."""
    return [row[1:] for row in site.audit() if row[1] != "self authorisations"]


def test_the_audit_log_proves_who_said_yes_to_what(site):
    """B83: in a line for each of the two, and by their ids whatever card was named."""
    propose(site, functions=["pay", "renew"])
    ask(site, "POST", "/C2/authorisations/from/P1/confirm")
    ask(site, "DELETE", "/C1/authorisations/to/P2")
    propose(site)
    ask(site, "DELETE", "/P2/authorisations/from/P1")
    assert sorted(noted(site)) == sorted(
        (f"self {action}", f"authorisation P1 P2 {what}", patron, "done")
        for action, what in (
            ("propose", "pay,renew by P1"),
            ("confirm", "pay,renew by P2"),
            ("withdraw", "pay,renew by P1"),
            ("propose", "pay by P1"),
            ("withdraw", "pay by P2"),
        )
        for patron in ("P1", "P2")
    )


def test_the_audit_log_has_what_was_confirmed_and_not_what_was_there_before(site, monkeypatch):
    """B83: Ann proposes more just as Bob says yes to whatever it is."""
    propose(site)
    before = list(self_service.authorisations_of(site.desk.store, "P2"))
    propose(site, functions=["pay", "renew"])
    monkeypatch.setattr(self_service, "authorisations_of", lambda *_: before)
    ask(site, "POST", "/P2/authorisations/from/P1/confirm")
    confirmed = {row[1] for row in noted(site) if row[0] == "self confirm"}
    assert confirmed == {"authorisation P1 P2 pay,renew by P2"}


def test_the_audit_log_says_what_was_refused_and_keeps_no_number_that_was_typed(site):
    """B83: somebody may have typed a PIN in the place of a card."""
    propose(site, card="1234")
    propose(site, birth_date="1990-02-04")
    propose(site, card="P4", birth_date="1980-01-01")
    propose(site)
    ask(site, "POST", "/P2/authorisations/from/P1/confirm", {"functions": ["renew"]})
    ask(site, "DELETE", "/P2/authorisations/from/1234")
    refused = [row[:3] for row in noted(site) if row[3] == "refused"]
    assert refused == [
        ("self propose", "", "P1"),
        ("self propose", "", "P1"),
        ("self propose", "authorisation P1 P4 pay by P1", "P1"),
        ("self confirm", "authorisation P1 P2 pay by P2", "P2"),
        ("self withdraw", "", "P2"),
    ]


def test_the_audit_log_names_nobody_who_is_forgotten(site):
    """B91."""
    propose(site, card="C7", birth_date="1991-01-01")
    ask(site, "POST", "/20001006/authorisations/from/P1/confirm")
    assert all("20001006" in row[1] for row in noted(site))
    forgotten = site.command("patron", "forget", "20001006")
    assert forgotten.exit_code == 0, forgotten.output
    assert len(noted(site)) == 4
    assert not any("20001006" in text for row in noted(site) for text in row)


STAFF_ONLY = (409, "staff have left this open; only they can confirm it")
OTHER_ONLY = (409, "the other party must say yes to what you have proposed")


def test_what_staff_left_open_neither_confirms_for_the_other(site):
    """B50: neither has proposed it, so neither consents for the other; staff do."""
    left_open = {"type": "authorisation", "from": "P1", "to": "P2", "functions": ["pay"]}
    site.ask("POST", "/relationships", {**left_open, "confirmed": False}, role="staff")
    by_staff = {**PROPOSED, "proposed_by": "staff"}
    assert listed(site, "P2") == [by_staff]
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm").refusal == STAFF_ONLY
    assert listed(site, "P2") == [by_staff]
    assert ask(site, "DELETE", "/P2/authorisations/from/P1").status == 204, "they may decline"
    site.ask("POST", "/relationships", {**left_open, "confirmed": False}, role="staff")
    confirm = "/relationships/authorisation/P1/P2/confirm"
    in_force = {**by_staff, "confirmed": True}
    assert site.ask("POST", confirm, role="staff").json == in_force
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm").json == in_force


def test_what_staff_left_open_the_authoriser_proposes_and_the_other_confirms(site):
    """B50: then both have said yes."""
    left_open = {"type": "authorisation", "from": "P1", "to": "P2", "functions": ["renew"]}
    site.ask("POST", "/relationships", {**left_open, "confirmed": False}, role="staff")
    assert propose(site).json == PROPOSED
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm").json == IN_FORCE


def test_a_proposal_that_is_repeated_takes_nothing_away(site):
    """B50: a website repeats a request whose answer was lost."""
    assert [propose(site).json for _ in range(2)] == [PROPOSED] * 2
    ask(site, "POST", "/P2/authorisations/from/P1/confirm")
    told = propose(site)
    assert (told.status, told.json) == (201, IN_FORCE)
    assert listed(site, "P2") == [IN_FORCE]


def test_other_functions_end_what_was_in_force_and_wait_for_a_new_yes(site):
    """B50."""
    propose(site)
    ask(site, "POST", "/P2/authorisations/from/P1/confirm")
    both = {"functions": ["pay", "renew"]}
    assert propose(site, **both).json == {**PROPOSED, **both} == listed(site, "P2")[0]


def test_the_other_says_yes_to_what_they_saw(site):
    """B50: Bob sees `pay`; meanwhile Ann proposes more."""
    propose(site)
    seen = {"functions": listed(site, "P2")[0]["functions"]}
    more = propose(site, functions=["pay", "renew"]).json
    confirm = "/P2/authorisations/from/P1/confirm"
    assert ask(site, "POST", confirm, seen).refusal == (
        409,
        "it is something else now: pay and renew; look again, and say yes to that",
    )
    assert listed(site, "P2") == [more]
    seen = {"functions": ["renew", "pay"]}
    assert ask(site, "POST", confirm, seen).json == {**more, "confirmed": True}


@pytest.mark.parametrize("body", [{}, {"functions": None}])
def test_who_does_not_say_what_they_saw_says_yes_to_what_it_is(site, body):
    propose(site)
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm", body).json == IN_FORCE


@pytest.mark.parametrize("functions", [[], ["pay", "pay"], ["lend"], "pay", [["pay"]]])
def test_functions_are_one_or_both(site, functions):
    """As the description says: `minItems` and `uniqueItems`."""
    assert propose(site, functions=functions).status == 422
    propose(site)
    confirm = "/P2/authorisations/from/P1/confirm"
    assert ask(site, "POST", confirm, {"functions": functions}).status == 422
    assert listed(site, "P2") == [PROPOSED]
    schemas = site.ask("GET", "/openapi.json", role="self").json["components"]["schemas"]
    described = schemas["Proposal"]["properties"]["functions"]
    assert (described["minItems"], described["uniqueItems"]) == (1, True)


def test_staff_name_each_function_once_too(site):
    both = {"type": "authorisation", "from": "P1", "to": "P2"}
    told = site.ask("POST", "/relationships", {**both, "functions": ["pay", "pay"]})
    assert told.status == 422
    assert told.json["problems"][0]["problem"].endswith("name each function once")


def test_nobody_says_yes_to_their_own_proposal(site):
    """B50: an import may say that the one who is to be authorised has asked for it."""
    data = site.config.with_name("asked.jsonl")
    asked = {"type": "authorisation", "from": "P1", "to": "P2", "functions": ["pay"]}
    line = {"kind": "relationship", **asked, "confirmed": False, "proposed_by": "to"}
    data.write_text(json.dumps(line))
    assert site.command("import", str(data)).exit_code == 0
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm").refusal == OTHER_ONLY
    assert listed(site, "P2") == [{**PROPOSED, "proposed_by": "to"}]
    assert ("self confirm", "authorisation P1 P2 pay by P2", "P2", "refused") in noted(site)


def test_a_wrong_birth_date_and_a_card_that_nobody_has_are_the_same(site):
    for wrong in (
        *({"birth_date": "1990-02-04"}, {"card": "C9"}),
        *({"card": "P5", "birth_date": "1980-01-01"}, {"card": "P4", "birth_date": "1980-01-02"}),
    ):
        assert propose(site, **wrong).refusal == UNKNOWN, wrong
    assert site.listed("relationship", "list") == []


def test_who_guesses_birth_dates_waits_and_then_even_the_right_one_is_not_looked_at(site):
    for day in range(1, 6):
        assert propose(site, birth_date=f"1970-01-0{day}").refusal == UNKNOWN
    told = propose(site)
    assert told.status == 429
    # By another patron it is still the same card, and by the same one another card.
    assert propose(site, patron="P3").status == 429
    assert propose(site, card="P3", birth_date="1980-01-01").status == 429
    assert propose(site, patron="P2", card="P3", birth_date="1980-01-01").status == 201


NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def propose_at(site, now, patron="P1", card="C2", born=date(1990, 2, 3)):
    """As the resource does, at a moment of the test's."""
    store, config = site.desk.store, site.desk.config
    whose = site.desk.run(store.find_patron(patron))
    functions = frozenset({"pay"})
    return site.desk.run(self_service.propose(store, config, whose, card, born, functions, now))


def lock(site, patron, card, now=NOW):
    """Guess until nothing more is looked at."""
    for day in range(1, 6):
        with pytest.raises(RefusedError, match="no patron has this card"):
            propose_at(site, now, patron, card, date(1970, 1, day))


@pytest.mark.parametrize("locked", ["by the same", "about the same"])
def test_the_refusal_says_how_long_to_wait(site, locked):
    patron, card = ("P1", "C9") if locked == "by the same" else ("P3", "C2")
    lock(site, patron, card)
    for passed, left in ((0, 900), (60.5, 839.5), (899, 1)):
        with pytest.raises(TooManyGuessesError) as refused:
            propose_at(site, NOW + timedelta(seconds=passed))
        assert refused.value.wait == timedelta(seconds=left)
    assert propose_at(site, NOW + timedelta(seconds=900)).to_id == "P2"


def test_who_waits_as_long_as_told_is_looked_at(site, monkeypatch):
    """The seconds are rounded up."""

    async def refuse(*_):
        raise TooManyGuessesError(timedelta(seconds=839.1))

    monkeypatch.setattr(self_service, "propose", refuse)
    told = propose(site)
    assert told.refusal == (429, "too many wrong cards or birth dates; try again in 840 s")
    assert told.headers["retry-after"] == "840"


def test_all_cards_of_a_patron_have_one_count(site):
    """The card in use, a replaced one, the id: all lead to the same person."""
    for number in ("C7", "C8"):
        assert propose_at(site, NOW, "P1", number, date(1991, 1, 1)).to_id == "20001006"
    lock(site, "P3", "C7")
    for number in ("C7", "C8", "20001006"):
        with pytest.raises(TooManyGuessesError):
            propose_at(site, NOW, "P1", number, date(1991, 1, 1))


def test_a_number_that_nobody_has_has_a_count_of_its_own(site):
    lock(site, "P3", "C9")
    with pytest.raises(TooManyGuessesError):
        propose_at(site, NOW, "P1", "C9")
    with pytest.raises(RefusedError, match="no patron has this card"):
        propose_at(site, NOW, "P1", "C99")


def test_whom_others_keep_from_trying_has_not_tried(site):
    """Ann knows Bob's birth date, and comes after somebody who guessed it."""
    lock(site, "P3", "C2")
    for _ in range(7):
        with pytest.raises(TooManyGuessesError):
            propose_at(site, NOW)
    assert propose_at(site, NOW, card="P3", born=date(1980, 1, 1)).to_id == "P3"


def test_who_must_wait_does_not_keep_others_from_trying(site):
    lock(site, "P3", "C9")
    for _ in range(7):
        with pytest.raises(TooManyGuessesError):
            propose_at(site, NOW, "P3", "C2", date(1970, 1, 1))
    assert propose_at(site, NOW).to_id == "P2"


def test_right_ones_in_between_do_not_begin_the_count_anew(site):
    for day in (1, 2, 3, 4):
        assert propose(site, birth_date=f"1970-01-0{day}").status == 409
    assert propose(site).status == 201
    assert propose(site, birth_date="1970-01-05").status == 409
    assert propose(site).status == 429


def test_right_ones_are_not_counted(site):
    for _ in range(7):
        assert propose(site).status == 201


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"card": "P1", "birth_date": "1980-01-01"}, "cannot have a relationship with themselves"),
        ({"card": "P4", "birth_date": "1980-01-01"}, "patron P4 has no valid membership"),
        ({"card": "P3", "birth_date": "1980-01-01"}, "patron P1 has already given pay to P2"),
    ],
)
def test_a_rule_that_forbids_one_is_told(site, changes, sentence):
    assert propose(site).status == 201
    status, why = propose(site, **changes).refusal
    assert (status, sentence in why) == (409, True), why
    assert listed(site, "P1") == [PROPOSED]


def test_families_are_for_staff(site):
    """Head of family is never self-service: neither made, shown, confirmed nor ended (B50)."""
    assert propose(site, type="head_of_family").status == 422
    site.ask("POST", "/relationships", {"type": "head_of_family", "from": "P1", "to": "P2"})
    assert listed(site, "P2") == []
    assert ask(site, "POST", "/P2/authorisations/from/P1/confirm").status == 404
    assert ask(site, "DELETE", "/P2/authorisations/from/P1").status == 404
    assert len(site.listed("relationship", "list")) == 1


def test_what_is_not_ones_own_is_not_there(site):
    """Cards of others are not looked up, so the answer says nothing about them."""
    propose(site)
    gone = (404, "there is no such authorisation of yours; list them again")
    for path in ("/P3/authorisations/from/P1", "/P3/authorisations/to/P2"):
        assert ask(site, "DELETE", path).refusal == gone
    for other in ("P1", "C1", "C9"):
        path = f"/P3/authorisations/from/{other}/confirm"
        assert ask(site, "POST", path).refusal == gone
    assert listed(site, "P1") == [PROPOSED]


@pytest.fixture
def asking(site):
    for table, row in (
        ("type", {"code": "QU", "description": "Question"}),
        ("category", {"code": "LOAN", "description": "Loans"}),
    ):
        assert site.ask("POST", f"/support/tables/{table}", row).status == 201
    return site


QUESTION = {"type": "QU", "category": "LOAN", "text": "Where is my book?"}


def test_a_patron_asks_and_reads_the_answer_and_no_notes(asking):
    sent = {"headers": {"idempotency-key": "K"}}
    opened = [ask(asking, "POST", "/C1/messages", QUESTION, **sent) for _ in range(2)]
    assert [one.json["id"] for one in opened] == ["1", "1"]
    asking.ask("POST", "/support/1/status", {"to": "D", "note": "A difficult one"})
    asking.ask("POST", "/support/1/answer", {"text": "On your shelf."})
    (seen,) = ask(asking, "GET", "/P1/messages").json["items"]
    assert (seen["status"], [one["text"] for one in seen["answers"]]) == ("C", ["On your shelf."])
    assert "difficult" not in str(seen)
    assert ask(asking, "GET", "/P2/messages").json["items"] == []
    (staff,) = asking.listed("support", "list")
    assert (staff["patron"], staff["text"]) == ("P1", "Where is my book?")


def test_what_the_gateway_noted_about_a_patron_is_not_shown(asking):
    asking.ask("POST", "/support", {**QUESTION, "type": "AU", "patron": "P1"})
    assert ask(asking, "GET", "/P1/messages").json["items"] == []
    refused = ask(asking, "POST", "/P1/messages", {**QUESTION, "type": "AU"})
    assert refused.refusal == (409, "only the gateway opens messages of type AU")


def test_house_rules_are_accepted_today(site):
    told = ask(site, "PUT", "/C1/house-rules")
    (shown,) = site.listed("patron", "show", "P1")
    assert shown["house_rules_accepted"] == told.json["house_rules_accepted"]
    zone = load_config(site.config).zone
    assert told.json["house_rules_accepted"] == today_in(zone)
    assert ("self", "self house-rules", "", "P1", "done") in site.audit()
    assert ask(site, "PUT", "/C9/house-rules").status == 404


def today_in(zone):
    return datetime.now(zone).date().isoformat()


def test_self_service_does_nothing_else_and_nobody_else_does_it(site):
    """C176: `self` stands apart."""
    described = site.ask("GET", "/openapi.json", role="self").json["paths"]
    operations = [
        (path, method, one)
        for path, methods in described.items()
        for method, one in methods.items()
    ]
    assert len(operations) > len(OF_SELF)
    assert {one["x-command"] for path, _, one in operations if "/self/" in path} == {
        words for words in REST_ONLY if words.startswith("self ")
    }
    for path, method, one in operations:
        assert (one["x-role"] == "self") == path.startswith("/api/v1/self/")
        assert ("Command:" in one["description"]) == (one["x-command"] not in REST_ONLY)
        if one["x-role"] != "self":
            where = path.removeprefix("/api/v1").replace("{", "").replace("}", "")
            assert site.ask(method.upper(), where, {}, role="self").status == 403, path
    for method, path in OF_SELF:
        for role in ("view", "staff", "admin"):
            assert site.ask(method, path, {}, role=role).status == 403, path
    assert {ACTIONS[row[1]].role for row in site.audit()} == set()
