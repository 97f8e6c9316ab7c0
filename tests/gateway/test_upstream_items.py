"""Loans, returns, renewals, holds and items in front of a library system (B54, B73, C106, C153).

The library system is a fake that says what each test has it say.
"""

import pytest
from desk import BLANK, EARLIER
from harness import CONFIG, LIBRARY, STAMP, ask_63, fields, person, running
from library_fakes import ALL_CODES, THEIR_WIRE, FakeLibrary, put_behind, response, said

from sip2gw.backend.system import NoAnswerError, NotAskedError
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.encoding import text_encoding

THEN = "20251231    235900"
"""When the library system says that it is."""
LOAN = "AA1001|ABB1|"
YES_12 = f"121NUY{THEN}AOTHERE|AA1001|ABB1|AJTitle|"
NO_12 = f"120NUN{THEN}AOTHERE|AA1001|ABB1|AJTitle|AH|AFNo.|"
YES_10 = f"101YUN{THEN}AOTHERE|ABB1|AQMAIN|AJTitle|"
YES_30 = f"301YUN{THEN}AOTHERE|AA1001|ABB1|AJTitle|AH|"
FIXED_12, FIXED_10, FIXED_64 = 24, 24, 61

KIOSK = '[profiles.kiosk]\nkind = "selfcheck"\n'


@pytest.fixture
async def site(tmp_path):
    """Starts a gateway whose kiosk has these keys."""
    running_now = []

    async def start(keys, records=LIBRARY):
        config = CONFIG.replace(KIOSK, f"{KIOSK}{keys}\n")
        entered = running(tmp_path, config=config, records=records)
        running_now.append(entered)
        return await entered.__aenter__()

    yield start
    for entered in running_now:
        await entered.__aexit__(None, None, None)


def says(*answers, **keys):
    """A library system that answers each request with one of `answers`, by its type."""
    parsed = [response(one) for one in answers]
    return FakeLibrary({f"{int(one.code) - 1:02}": one for one in parsed}, **keys)


async def told(gateway, library, request, **manner):
    put_behind(gateway, library, **manner)
    return await (await gateway.terminal("kiosk-1")).ask(request)


def went_up(library):
    """What the library system was asked, as wire text."""
    return [serialise(one[2], THEIR_WIRE).decode(errors="replace") for one in library.asked]


def ask_11(*, ok="N", no_block="N", date=STAMP, tail="AD1001|", loan=LOAN):
    return f"11{ok}{no_block}{date}{BLANK}AOHUB|{loan}ACsecret|{tail}"


# Up -----------------------------------------------------------------------------------------


async def test_what_the_terminal_said_goes_up_in_the_accounts_name(gateway):
    library = says(YES_12)
    await told(gateway, library, ask_11(tail="AD1001|BOY|CHcd|XZ9|"))
    assert went_up(library) == [
        f"11NN{STAMP}{BLANK}AOTHERE|AA1001|ABB1|ACsecret|CHcd|AD1001|BOY|BIN|XZ9|"
    ]


async def test_a_second_card_item_or_pin_goes_nowhere(gateway):
    library = says(YES_12, YES_10)
    await told(gateway, library, ask_11(tail="AD1001|AA1002|ABB2|AD1002|AOELSE|"))
    # A 09 has no AA and no AD.
    await told(gateway, library, f"09N{STAMP}{STAMP}APHERE|AOHUB|ABB1|AC|AD1002|AA1002|")
    for up in went_up(library):
        assert all(f"|{odd}" not in up for odd in ("AA1002", "ABB2", "AD1002", "AOELSE"))


@pytest.mark.parametrize(("said_by_terminal", "up"), [("", "MAIN"), ("WING", "WING")])
async def test_ap_is_the_branch_unless_the_request_has_one(gateway, said_by_terminal, up):
    library = says(YES_10)
    await told(gateway, library, f"09N{STAMP}{STAMP}AP{said_by_terminal}|AOHUB|ABB1|AC|")
    assert f"AP{up}|AOTHERE|ABB1|" in went_up(library)[0]


@pytest.mark.parametrize(
    ("date_zone", "up"),
    [("local", "20260310    120000"), ("utc", "20260310   Z110000")],
)
async def test_dates_go_up_in_the_accounts_zone(gateway, date_zone, up):
    library = says(YES_10)
    broken = "yesterday".ljust(18)
    await told(gateway, library, f"09N{STAMP}{broken}APX|AOHUB|ABB1|AC|", date_zone=date_zone)
    assert went_up(library)[0].startswith(f"09N{up}{broken}")  # what is no date stays


async def test_odd_bytes_go_up_and_come_down_unchanged(gateway):
    """é is C3 A9 in UTF-8 and 82 in cp850; FF alone is nothing in UTF-8."""
    library = says(f"18010101{THEN}ABB1|AJ".encode() + b"T\xc3\xa9\xff|XY\xc3\xa9\xff|")
    put_behind(gateway, library)
    terminal = await gateway.terminal("kiosk-1")
    await terminal.send(f"17{STAMP}AOHUB|ABB1|AC|XZ".encode() + b"\x82|\r")
    raw = await terminal.reader.readuntil(b"\r")
    assert serialise(library.asked[0][2], THEIR_WIRE).endswith(b"|XZ\xc3\xa9|")
    assert b"|AJT\x82\xff|" in raw
    assert raw.endswith(b"|XY\x82\xff|\r")


async def test_a_byte_that_is_no_character_of_the_terminal_goes_up_as_it_is(site):
    gateway = await site('encoding = "utf-8"')
    library = says(f"201{THEN}ABB1|CHnew|")
    put_behind(gateway, library)
    terminal = await gateway.terminal("kiosk-1")
    await terminal.send(f"19{STAMP}AOHUB|ABB1|CHold".encode() + b"\xff|XZ\xfe|\r")
    await terminal.reader.readuntil(b"\r")
    assert serialise(library.asked[0][2], THEIR_WIRE).endswith(b"|CHold\xff|XZ\xfe|")


@pytest.mark.parametrize(
    ("loan", "text"),
    [
        # č is in no cp850, and the card 100c would be somebody else's.
        ("AA100č|ABB1|", "This card is not known. Please ask the staff."),
        ("AA1001|ABBč|", "This item is not known. Please ask the staff."),
    ],
)
async def test_a_number_that_cannot_be_written_there_is_nobodys(site, loan, text):
    gateway = await site('encoding = "utf-8"')
    library = says(YES_12)
    put_behind(gateway, library, text=text_encoding("cp850", keeps=True))
    terminal = await gateway.terminal("kiosk-1")
    await terminal.send(ask_11(loan=loan).encode() + b"\r")
    raw = await terminal.reader.readuntil(b"\r")
    assert raw.startswith(b"120")
    assert f"AF{text}".encode() in raw
    assert library.asked == []


# Down ---------------------------------------------------------------------------------------


async def test_the_answer_is_theirs_with_our_institution_and_time(gateway):
    library = says(YES_12 + "AH20260331    235959|BT06|BHCAD|BV$1.5|CK001|CHcd|AFok|XZ9|")
    assert await told(gateway, library, ask_11()) == (
        f"121NUY{STAMP}AOHUB|AA1001|ABB1|AJTitle|AH20260331    235959|BT06|BHEUR|BV1.50|"
        "CK001|CHcd|AFok|XZ9|"
    )


@pytest.mark.parametrize("theirs", [YES_12, NO_12])
async def test_the_card_goes_up_after_its_rules_and_is_told_as_scanned(site, theirs):
    gateway = await site('card_rules = [{ rule = "strip_prefix", value = "99" }]')
    library = says(theirs)
    answer = await told(gateway, library, ask_11(loan="AA991001|ABB1|"))
    assert "|AA1001|" in went_up(library)[0]
    assert fields(answer, "AA", fixed=FIXED_12) == ["991001"]


async def test_a_no_is_handed_on_in_their_words(gateway):
    answer = await told(gateway, says(NO_12), ask_11())
    assert answer == f"120NUN{STAMP}AOHUB|AA1001|ABB1|AJTitle|AH|AFNo.|"
    (line,) = [line for line in gateway.logged() if line.get("message") == "11"]
    assert (line["outcome"], line["reason"]) == ("refused", "upstream")


@pytest.mark.parametrize("form", ["sip2", "library"])
@pytest.mark.parametrize(
    ("theirs", "sip2", "library"),
    [
        ("20260331    235959", "20260331    235959", "31/03/2026"),
        ("20260331   Z120000", "20260331    140000", "31/03/2026 14:00"),
        ("2026-03-31 18:00:00", "20260331    180000", "31/03/2026 18:00"),
        ("2026-03-31", "20260331    235959", "31/03/2026"),
        ("31.03.2026", "20260331    235959", "31/03/2026"),
        ("20260331", "20260331    235959", "31/03/2026"),
        # Nobody knows which of them is the month.
        ("4/5/2026", "4/5/2026", "4/5/2026"),
        ("2026-02-31", "2026-02-31", "2026-02-31"),
        ("soon", "soon", "soon"),
        ("", "", ""),
    ],
)
async def test_the_due_date_has_the_profiles_form_if_it_can_be_read(
    site, form, theirs, sip2, library
):
    gateway = await site(f'due_date_format = "{form}"')
    answer = await told(gateway, says(YES_12 + f"AH{theirs}|"), ask_11())
    expected = {"sip2": sip2, "library": library}[form]
    assert fields(answer, "AH", fixed=FIXED_12) == [expected]


@pytest.mark.parametrize(
    ("keys", "theirs", "expected"),
    [
        ("", "CT|CV00|", {"CT": [], "CV": []}),
        ('send_ct = "always"\ncv_on_success = true', "", {"CT": [""], "CV": ["00"]}),
        ("", "CTEAST|CV04|", {"CT": ["EAST"], "CV": ["04"]}),
        ("", "CL7|CRfic|CS82|", {"CL": ["7"], "CR": ["fic"]}),
        ('cr_item_field = "call_number"', "CRfic|CS82|", {"CR": ["82"]}),
        ('cr_item_field = "owner_branch"', "CRfic|", {"CR": ["MAIN"]}),
        ('cr_item_field = "shelf"', "CRfic|", {"CR": ["fic"]}),
        ('template_da = "{first_word}"', "CY1002|DABo Peeters|", {"DA": ["Bo"]}),
        (
            'sort_bins = [{ field = "call_number", value = "82", bin = "3" }]',
            "CL7|CS82|",
            {"CL": ["3"]},
        ),
        ('sort_bins = [{ field = "shelf", value = "A", bin = "3" }]', "CL7|", {"CL": ["7"]}),
        ("show_checkin_message = true", "AFTheirs.|CTMAIN|", {"AF": ["Theirs.", "MAIN"]}),
        (
            'custom_item_fields = [{ field = "XT", template = "{material}" }]',
            "CRfic|XTtheirs|",
            {"XT": ["fic"]},
        ),
        (
            'hide_fields = ["XT", "CR"]',
            "CRfic|XTtheirs|XUyes|",
            {"XT": [], "CR": [], "XU": ["yes"]},
        ),
    ],
)
async def test_a_return_is_told_as_the_profile_says(site, keys, theirs, expected):
    gateway = await site(keys)
    answer = await told(gateway, says(YES_10 + theirs), f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABB1|AC|")
    for tag, values in expected.items():
        found = fields(answer, tag, fixed=FIXED_10)
        assert len(found) == len(values)
        assert all(value in text for value, text in zip(values, found, strict=True))


@pytest.mark.parametrize(
    ("theirs", "alert"),
    [(f"101YUY{THEN}", "Y"), (f"101YUN{THEN}", "N")],
)
async def test_an_alert_type_is_an_alert(gateway, theirs, alert):
    request = f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABB1|AC|"
    rest = "AOTHERE|ABB1|AQMAIN|"
    answer = await told(gateway, says(theirs + rest), request)
    assert answer[5] == alert
    answer = await told(gateway, says(theirs + rest + "CV01|"), request)
    assert answer[5] == "Y"
    refused = f"100YUN{THEN}{rest}CV99|"
    assert fields(await told(gateway, says(refused), request), "CV", fixed=FIXED_10) == ["99"]


async def test_holds_and_items_are_passed_on(gateway):
    library = says(
        f"161Y{THEN}BW20260401    235959|BR1|BSMAIN|AOTHERE|AA1001|ABB1|AJTitle|",
        f"18030001{THEN}CF0|ABB1|AJTitle|AH2026-03-31|BHCAD|BV1|",
        f"201{THEN}ABB1|CHnew|",
    )
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    assert await kiosk.ask(f"15+{STAMP}AOHUB|AA1001|AD1001|ABB1|") == (
        f"161Y{STAMP}BW20260401    235959|BR1|BSMAIN|AOHUB|AA1001|ABB1|AJTitle|"
    )
    assert await kiosk.ask(f"17{STAMP}AOHUB|ABB1|") == (
        f"18030001{STAMP}CF0|AH20260331    235959|ABB1|AJTitle|BHEUR|BV1.00|"
    )
    assert await kiosk.ask(f"19{STAMP}AOHUB|ABB1|CHold|") == f"201{STAMP}ABB1|CHnew|"


# Refused here -------------------------------------------------------------------------------

EVERY = [
    ask_11(),
    f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABB1|AC|",
    f"15+{STAMP}AOHUB|AA1001|ABB1|",
    f"17{STAMP}AOHUB|ABB1|",
    f"19{STAMP}AOHUB|ABB1|CHx|",
    f"29NN{STAMP}{BLANK}AOHUB|AA1001|ABB1|",
    f"65{STAMP}AOHUB|AA1001|",
    f"01N{STAMP}AOHUB|ALlost|AA1001|AC|",
    f"25{STAMP}AOHUB|AA1001|AC|AD1001|",
]


@pytest.mark.parametrize("request_", EVERY, ids=lambda one: one[:2])
async def test_what_they_do_not_take_is_refused_in_its_form(site, request_):
    every = sorted({*ALL_CODES, "99"})
    gateway = await site(f"may_block_patrons = true\nmessages = {every}".replace("'", '"'))
    library = says(offered=ALL_CODES - {request_[:2]})
    answer = await told(gateway, library, request_)
    assert answer[:2] == f"{int(request_[:2]) % 100 + 1:02}".replace("02", "24")
    assert "AFThis is not possible here." in answer
    assert library.asked == []


async def test_what_is_claimed_to_have_happened_is_refused_if_the_profile_says_so(site):
    gateway = await site("accept_offline = false")
    library = says(YES_12)
    answer = await told(gateway, library, ask_11(no_block="Y", date=EARLIER))
    assert answer.startswith("120")
    assert "AFThis is not possible at this terminal." in answer
    assert library.asked == []
    (entry,) = gateway.store.reviews()
    assert (entry.message, entry.item) == ("11", "B1")


@pytest.mark.parametrize(("date", "up"), [(EARLIER, "Y"), (STAMP, "N")])
async def test_a_claim_goes_up_as_such_only_about_the_past(site, date, up):
    gateway = await site("accept_offline = true")
    library = says(YES_12)
    await told(gateway, library, ask_11(no_block="Y", date=date))
    assert went_up(library)[0].startswith(f"11N{up}")
    assert list(gateway.store.reviews()) == []


async def test_a_claim_that_they_do_not_take_is_listed_for_staff(gateway):
    """A 98 without the message, after an upgrade perhaps: the item has been lent all the same."""
    library = FakeLibrary(offered=frozenset({"63", "99"}))
    renewed = f"29NY{EARLIER}{BLANK}AOHUB|AA1001|ABB1|"
    for claimed in (ask_11(no_block="Y", date=EARLIER), renewed):
        answer = await told(gateway, library, claimed)
        assert answer[2] == "0"
    assert [entry.message for entry in gateway.store.reviews()] == ["11", "29"]


async def test_a_claim_that_they_refuse_is_listed_for_staff(gateway):
    await told(gateway, says(NO_12), ask_11(no_block="Y", date=EARLIER))
    (entry,) = gateway.store.reviews()
    assert (entry.message, entry.item) == ("11", "B1")


@pytest.mark.parametrize(
    ("blocked", "tail", "asked"),
    [
        ('["GAME*"]', "CRGAME-3|", 0),
        ('["GAME*"]', "CRBOOK|", 1),
        ('["GAME*"]', "", 1),
        ('["*"]', "", 0),
    ],
)
async def test_material_is_kept_back_if_the_request_names_it(site, blocked, tail, asked):
    gateway = await site(
        f"blocked_material_types = {blocked}\nrefuse_checkin_material_types = {blocked}"
    )
    for request in (ask_11(tail=tail), f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABB1|AC|{tail}"):
        library = says(YES_12, YES_10)
        answer = await told(gateway, library, request)
        assert len(library.asked) == asked
        assert ("AFThis kind of item is not handled here." in answer) is (asked == 0)


async def test_what_was_lent_off_line_is_not_kept_back(site):
    gateway = await site('blocked_material_types = ["GAME*"]')
    library = says(YES_12)
    await told(gateway, library, ask_11(no_block="Y", date=EARLIER, tail="CRGAME-3|"))
    assert len(library.asked) == 1


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("", "Card or PIN is not correct."),
        ("wrong_pin_hides_card = true", "This card is not known. Please ask the staff."),
    ],
)
async def test_a_locked_pin_is_not_asked(site, keys, text):
    gateway = await site(keys)
    library = says(YES_12, f"660{'0000' * 2}{THEN}AOTHERE|")
    identifier = put_behind(gateway, library)
    identifier.locked = True
    kiosk = await gateway.terminal("kiosk-1")
    assert f"|AF{text}" in await kiosk.ask(ask_11())
    assert f"|AF{text}" in await kiosk.ask(f"65{STAMP}AOHUB|AA1001|AD1001|")
    assert identifier.judged == [("1001", "1001")] * 2
    assert library.asked == []


async def test_nobody_judges_an_empty_pin(gateway):
    library = says(YES_12)
    identifier = put_behind(gateway, library)
    await (await gateway.terminal("kiosk-1")).ask(ask_11(tail="AD|"))
    assert identifier.judged == []
    assert "|AD|" in went_up(library)[0]


async def test_a_library_system_that_does_not_answer_is_a_no(gateway):
    library = FakeLibrary({"11": NoAnswerError()})
    answer = await told(gateway, library, ask_11())
    assert answer.startswith("120")
    assert "AA1001|ABB1|" in answer


# Renewals for somebody else -----------------------------------------------------------------

RELATED = [
    *LIBRARY,
    person("1020", "Hugo Helper"),
    person("1021", "Ivo Ill"),
    {
        "kind": "relationship",
        "type": "authorisation",
        "from": "1021",
        "to": "1020",
        "functions": ["renew"],
        "confirmed": True,
    },
]


def ask_29(*, third="Y", item="ABIVO1|", pin="AD1020|"):
    return f"29{third}N{STAMP}{BLANK}AOHUB|AA1020|{pin}{item}"


async def helped(gateway, library, request, *, au="AUIVO1 The book|", terminal="kiosk-1"):
    """What Hugo is told; Ivo has IVO1 on loan."""
    ivo = said(f"64{'':14}001{THEN}{'0000' * 6}AOTHERE|AA1021|AEIvo|BLY|{au}")
    ivo.record = await gateway.store.find_patron("1021")
    put_behind(gateway, library, {"1021": ivo})
    return await (await gateway.terminal(terminal)).ask(request)


@pytest.mark.parametrize(
    ("keys", "request_", "au", "card"),
    [
        ("", ask_29(), "AUIVO1 The book|", "1021"),
        ("", ask_29(), "AUIVO1|", "1021"),
        ("", ask_29(third="N"), "AUIVO1|", "1020"),
        ("", ask_29(item="AJThe book|"), "AUIVO1|", "1020"),
        ("", ask_29(), "AUIVO12|", "1020"),
        # The profile requires no PIN, or it does.
        ("pin_required = false", ask_29(pin=""), "AUIVO1|", "1021"),
        ("pin_required = true", ask_29(pin=""), "AUIVO1|", "1020"),
    ],
)
async def test_an_authorisers_loan_is_renewed_with_their_card(site, keys, request_, au, card):
    gateway = await site(keys, RELATED)
    yes = YES_30.replace("1001", card).replace("B1", "IVO1")
    library = says(yes)
    answer = await helped(gateway, library, request_, au=au)
    assert f"AA{card}|" in went_up(library)[0]
    assert ("AD" in went_up(library)[0]) is (card == "1020" and "AD" in request_)
    assert fields(answer, "AA", fixed=FIXED_12) == ["1020"]  # never whose loan it is


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(ask_29(pin="AD9999|"), "300", id="29"),
        pytest.param(f"65{STAMP}AOHUB|AA1020|AD9999|", "660", id="65"),
    ],
)
async def test_a_wrong_pin_goes_up_once_and_counts_once(site, request_, answer):
    """A 63 has asked whether it is right: the 29 or 65 would be the second guess."""
    gateway = await site("renewals_of_authorisers = true", RELATED)
    library = says()
    said_no = await helped(gateway, library, request_)
    assert said_no.startswith(answer)
    assert "AFCard or PIN is not correct.|" in said_no
    assert went_up(library) == []


async def test_a_claimed_renewal_with_a_wrong_pin_is_listed_for_staff(site):
    gateway = await site("", RELATED)
    claimed = ask_29(pin="AD9999|").replace("29YN", "29YY").replace(STAMP, EARLIER)
    assert (await helped(gateway, says(), claimed)).startswith("300")
    assert [(one.item, one.patron) for one in gateway.store.reviews()] == [("IVO1", "1020")]


async def test_a_claimed_renewal_that_nobody_could_be_asked_about_is_listed_for_staff(site):
    gateway = await site("", RELATED)
    identifier = put_behind(gateway, FakeLibrary())

    async def is_away(*_args, **_keys):
        raise NotAskedError

    identifier.ask = is_away
    claimed = ask_29().replace("29YN", "29YY").replace(STAMP, EARLIER)
    assert (await (await gateway.terminal("kiosk-1")).ask(claimed)).startswith("300")
    (entry,) = gateway.store.reviews()
    assert (entry.message, entry.item) == ("29", "IVO1")


async def test_everything_is_renewed_for_authorisers_by_profile(site):
    gateway = await site("renewals_of_authorisers = true", RELATED)
    library = says(f"6610001{'0001'}{THEN}AOTHERE|BMX1|BNX2|AFWhy.|")
    answer = await helped(gateway, library, f"65{STAMP}AOHUB|AA1020|AD1020|")
    assert [up[20:].partition("|AA")[2][:4] for up in went_up(library)] == ["1020", "1021"]
    assert answer.startswith(f"6610002{'0002'}{STAMP}AOHUB|BMX1|BMX1|BNX2|BNX2|")


@pytest.mark.parametrize("request_", [ask_29(), f"65{STAMP}AOHUB|AA1020|AD1020|"])
async def test_the_line_of_the_questions_about_authorisers_is_anybodys_again(site, request_):
    """Nobody comes back on it, so it must not wait for anybody (C122)."""
    gateway = await site("renewals_of_authorisers = true", RELATED)
    library = says(f"6610001{'0000'}{THEN}AOTHERE|BMX1|", YES_30)
    await helped(gateway, library, request_)
    assert len(library.released) == 1


@pytest.mark.parametrize(
    ("sends", "said"),
    [
        pytest.param(
            True, "AFWe are not sure that this was done. Please ask the staff.|", id="sent"
        ),
        pytest.param(False, "", id="not sent"),
    ],
)
async def test_what_was_renewed_stays_said_if_they_fail_for_the_next(site, sends, said):
    gateway = await site("renewals_of_authorisers = true", RELATED)
    yes = response(f"6610001{'0000'}{THEN}AOTHERE|BMX1|")

    class FailsFor1021(FakeLibrary):
        async def ask(self, account, terminal, request, lease=None, sent=None):
            if request.patron_identifier == "1021":
                if sends:
                    sent()
                raise NoAnswerError if sends else NotAskedError
            return await super().ask(account, terminal, request, lease, sent)

    answer = await helped(gateway, FailsFor1021({"65": yes}), f"65{STAMP}AOHUB|AA1020|AD1020|")
    assert answer.startswith(f"6610001{'0000'}{STAMP}AOHUB|BMX1|")
    assert ("|AF" in answer) == sends
    assert said in answer


@pytest.mark.parametrize(
    ("keys", "summary", "extra", "fails", "listed"),
    [
        ("renewals_of_authorisers = true", "  Y", "", False, ["OWN1", "IVO1 The book"]),
        ("renewals_of_authorisers = true", "  Y", "", True, ["OWN1"]),
        ("renewals_of_authorisers = true", "  Y", "BP1|", False, ["OWN1"]),
        ("renewals_of_authorisers = true", "  Y", "BQ9|", False, ["OWN1"]),
        ("renewals_of_authorisers = true", "Y", "", False, ["OWN1"]),
        ("", "  Y", "", False, ["OWN1"]),
    ],
)
async def test_loans_of_authorisers_are_listed_by_profile(
    site, keys, summary, extra, fails, listed
):
    gateway = await site(keys, RELATED)
    start = f"64{'':14}001{THEN}{'0000' * 6}AOTHERE|"
    hugo = said(f"{start}AA1020|AEHugo|BLY|CQY|AUOWN1|")
    ivo = said(f"{start}AA1021|AEIvo|BLY|AUIVO1 The book|")
    ivo.record = await gateway.store.find_patron("1021")
    put_behind(gateway, says(), {"1020": hugo, "1021": NoAnswerError() if fails else ivo})
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_63("1020", "1020", summary=f"{summary:10}", extra=extra))
    assert fields(answer, "AU", fixed=FIXED_64) == listed
    assert answer[45:49] == f"{len(listed) - 1:04}"  # they count none


async def test_who_is_not_authorised_renews_nothing_for_others(site):
    gateway = await site("renewals_of_authorisers = true", RELATED)
    library = says(f"6610001{'0000'}{THEN}AOTHERE|BMX1|")
    await told(gateway, library, f"65{STAMP}AOHUB|AA1021|AD1021|")
    assert len(library.asked) == 1


async def test_an_authoriser_whom_they_do_not_know_is_left_out(site):
    gateway = await site("renewals_of_authorisers = true", RELATED)
    library = says(f"6610001{'0000'}{THEN}AOTHERE|BMX1|")
    nobody = said(f"64{'':14}001{THEN}{'0000' * 6}AOTHERE|AA1021|AE|BLN|")
    nobody.record = None
    put_behind(gateway, library, {"1021": nobody})
    await (await gateway.terminal("kiosk-1")).ask(f"65{STAMP}AOHUB|AA1020|AD1020|")
    assert len(library.asked) == 1


async def test_everything_of_ones_own_is_renewed(gateway):
    library = says(f"660{'0000'}{'0001'}{THEN}AOTHERE|BNX2|AFWhy.|")
    answer = await told(gateway, library, f"65{STAMP}AOHUB|AA1001|AD1001|")
    assert answer == f"660{'0000'}{'0001'}{STAMP}AOHUB|BNX2|AFWhy.|"
    assert len(library.asked) == 1


# Blocks -------------------------------------------------------------------------------------

BLOCKING = 'may_block_patrons = true\nmessages = ["01", "25", "23", "63", "99"]'
ASK_01 = f"01N{STAMP}AOHUB|ALlost|AA1001|AC|"
ASK_25 = f"25{STAMP}AOHUB|AA1001|AC|AD1001|"


def answer_24(flags, more="AEPeeters, Anna|BLY|BV9|AFOwes 9.|"):
    return f"24{flags:14}001{THEN}AOTHERE|AA1001|{more}"


@pytest.mark.parametrize(
    ("theirs", "flags", "text"),
    [
        (answer_24("YYYY"), "YYYY", "blocked"),
        (answer_24("  Y"), "  Y", "ask the staff"),
        (answer_24("YYYY", "AE|BLN|"), "YYYY", "This card is not known."),
    ],
)
async def test_a_block_is_theirs_and_the_answer_shows_nothing_of_the_patron(
    site, theirs, flags, text
):
    gateway = await site(BLOCKING)
    library = says()
    library.answers["01"] = response(theirs)
    answer = await told(gateway, library, ASK_01)
    assert answer.startswith(f"24{flags:14}000{STAMP}AOHUB|AA1001|AE|BL")
    assert text in answer
    assert "Owes" not in answer
    assert (await gateway.store.find_patron("1001")).blocks == ()
    assert len(library.asked) == 1


@pytest.mark.parametrize("request_", [ASK_01, ASK_25], ids=["01", "25"])
async def test_a_terminal_that_may_not_block_asks_nobody(site, request_):
    gateway = await site(BLOCKING.replace("true", "false"))
    library = says()
    answer = await told(gateway, library, request_)
    assert "AFThis is not possible at this terminal." in answer
    assert library.asked == []


async def test_a_25_shows_the_patron_afterwards(site):
    gateway = await site(BLOCKING)
    library = says(f"26{'':14}001{THEN}AOTHERE|AA1001|AEPeeters|BLY|CQY|XZ9|")
    answer = await told(gateway, library, ASK_25)
    assert answer.startswith(f"26{'':14}000{STAMP}AOHUB|AA1001|AEAnna")
    assert answer.endswith("|XZ9|")
    assert went_up(library) == [f"25{STAMP}AOTHERE|AA1001|AC|AD1001|"]


async def test_a_25_shows_nobody_who_is_gone_afterwards(site):
    gateway = await site(BLOCKING)
    library = says(f"26{'':14}001{THEN}AOTHERE|AA1001|AEPeeters|BLY|CQY|")
    identifier = put_behind(gateway, library)
    inner, asked = identifier.identify, []

    async def identify(session, number, pin):
        asked.append(number)
        return await inner(session, number if len(asked) == 1 else "9999", pin)

    identifier.identify = identify
    answer = await (await gateway.terminal("kiosk-1")).ask(ASK_25)
    assert answer.startswith("26YYYY")
    assert "AE|" in answer


async def test_a_25_with_a_wrong_pin_does_not_go_up(site):
    gateway = await site(BLOCKING)
    library = says()
    answer = await told(gateway, library, ASK_25.replace("AD1001", "AD9999"))
    assert "AE|" in answer
    assert library.asked == []


@pytest.mark.parametrize("request_", [ASK_01, ASK_25], ids=["01", "25"])
async def test_a_block_of_nobody_or_with_a_locked_pin_is_refused(site, request_):
    gateway = await site(BLOCKING + '\nencoding = "utf-8"')
    library = says()
    identifier = put_behind(gateway, library)
    identifier.locked = True
    kiosk = await gateway.terminal("kiosk-1")
    request = request_.encode()
    if request_ == ASK_01:  # FF is no character, so the card is nobody's
        request = request.replace(b"AA1001", b"AA1001\xff")
    await kiosk.send(request + b"\r")
    assert (await kiosk.read())[:3] in ("24Y", "26Y")
    assert library.asked == []
