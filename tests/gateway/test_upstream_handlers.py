"""What terminals in front of a library system are told (B72, B73, C121-C123, C152, C153).

The library system is a fake that says what each test has it say.
"""

from datetime import date

import pytest
from harness import CONFIG, STAMP, ask_23, ask_63, fields, running
from library_fakes import ALL_CODES, FakeLibrary, put_behind, said

from sip2gw.backend.system import BadAnswerError, Lease, NoAnswerError, NotAskedError
from sip2gw.handlers.base import Asked
from sip2gw.model import Card, Membership, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.protocol.messages import AcsStatus, EndSessionResponse

THEN = "20251231    235900"
"""When the library system says that it is."""
COUNTS = "000100020003000400050006"
FIXED_64 = 61


def anna(*, flags="", tail="", **facts):
    """A 64 about Anna, with fields that are in none of our messages."""
    return said(
        f"64{flags:14}001{THEN}{COUNTS}AOTHERE|AA1001|AEPeeters, Anna|BLY|CQY|{tail}", **facts
    )


def anna_24(*, flags="", tail="", **facts):
    return said(f"24{flags:14}001{THEN}AOTHERE|AA1001|AEPeeters, Anna|BLY|CQY|{tail}", **facts)


async def told(gateway, login, asked, request, library=None, **manner):
    """What `login` is told when the library system says `asked`."""
    put_behind(gateway, library or FakeLibrary(), asked, **manner)
    return await (await gateway.terminal(login)).ask(request)


# What is theirs and what is ours -------------------------------------------------------------


async def test_a_64_is_theirs_with_our_institution_time_and_badges(gateway):
    asked = anna(tail="BZ0010|CB0020|ASB1|AUB2|AUB3|CDB4|AVfine 1.00|AGprinted|GLTHEIRS|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    assert answer == (
        f"64              001{STAMP}{COUNTS}AOHUB|AA1001|AEPeeters, Anna|"
        "BZ0010|CB0020|BLY|CQY|ASB1|AUB2|AUB3|AVfine 1.00|CDB4|AGprinted|"
    )


async def test_a_24_is_theirs_as_well(gateway):
    answer = await told(gateway, "kiosk-1", anna_24(tail="BV1.5|AGprinted|"), ask_23("1001"))
    assert answer == (
        f"24              001{STAMP}AOHUB|AA1001|AEPeeters, Anna|BLY|CQY|BHEUR|BV1.50|AGprinted|"
    )


async def test_our_badges_and_only_ours_are_in_gl(gateway):
    ours = gateway.store.find_by_card("1001")
    badges = (await ours).badges
    answer = await told(
        gateway, "kiosk-1", anna(tail="GLTHEIRS|", badges=badges), ask_63("1001", "1001")
    )
    assert fields(answer, "GL", fixed=FIXED_64) == ["ONBE"]


async def test_their_flags_stay_and_ours_are_added(gateway):
    expired = {
        "membership": Membership("201", "Adult", 4),
        "membership_until": date(2026, 1, 31),
    }
    asked = anna(flags="    Y", tail="AFToo many.|", **expired)
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    assert answer.startswith("64YYYYY         001")
    assert fields(answer, "AF", fixed=FIXED_64) == [
        "Too many.",
        "Your membership is no longer valid. Please ask the staff.",
    ]


async def test_what_they_deny_they_say_themselves(gateway):
    asked = anna(flags="YY Y      Y", tail="AFPlease pay.|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    assert answer.startswith("64YY Y      Y   001")
    assert fields(answer, "AF", fixed=FIXED_64) == ["Please pay."]
    (line,) = [line for line in gateway.logged() if line.get("message") == "63"]
    assert (line["outcome"], line["reason"]) == ("refused", "fee_limit")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("BV12|CC10.|", ("EUR", "12.00", "10.00")),
        ("BHCAD|BV $1,234.5|CC 0|", ("EUR", "1234.50", "0.00")),
        ("BHCAD|BVa lot|CCunlimited|", ("EUR", "a lot", "unlimited")),
        ("BVa lot|", (None, "a lot", None)),
        ("", (None, None, None)),
    ],
)
async def test_amounts_become_plain_decimals_in_our_currency_where_they_can_be_read(
    gateway, theirs, ours
):
    answer = await told(gateway, "kiosk-1", anna(tail=theirs), ask_63("1001", "1001"))
    for tag, value in zip(("BH", "BV", "CC"), ours, strict=True):
        assert fields(answer, tag, fixed=FIXED_64) == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("asked", "theirs", "cq"),
    [
        (ask_63("1001", "1001"), "CQY|", ["Y"]),
        # No yes about a PIN that nobody gave …
        (ask_63("1001", ""), "CQY|", ["N"]),
        (ask_63("1001"), "CQY|", []),
        # … but a no is theirs.
        (ask_63("1001"), "CQN|", ["N"]),
        (ask_63("1001"), "", []),
    ],
)
async def test_cq_is_theirs_but_never_a_yes_about_an_empty_pin(gateway, asked, theirs, cq):
    pin = PinState.OK if "AD1001" in asked else PinState.ABSENT
    answered = said(f"64{'':14}001{THEN}{COUNTS}AOTHERE|AA1001|AEAnna|BLY|{theirs}", pin=pin)
    answer = await told(gateway, "kiosk-1", answered, asked)
    assert fields(answer, "CQ", fixed=FIXED_64) == cq
    assert "AEAnna" in answer


# What the profile decides --------------------------------------------------------------------

PERSONAL = "BDStreet 1|BEanna@example.org|BF0123|PB19800501|PCADULT|"


@pytest.fixture
async def site(tmp_path):
    """Starts a gateway whose kiosk has these keys."""
    running_now = []

    async def start(keys):
        config = CONFIG.replace("[profiles.kiosk]", f"[profiles.kiosk]\n{keys}")
        running_now.append(running(tmp_path, config=config))
        return await running_now[-1].__aenter__()

    yield start
    for one in running_now:
        await one.__aexit__(None, None, None)


@pytest.mark.parametrize("profile", [[], ["BE"], ["BD", "BE", "BF", "PB", "PC"]])
async def test_personal_fields_are_shown_as_the_profile_says(site, profile):
    gateway = await site(f"personal_fields = {profile}".replace("'", '"'))
    # The second BE is a field too often, which is kept with the unknown ones.
    asked = anna(tail=PERSONAL + "BEold@example.org|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    shown = {part[:2] for part in answer[FIXED_64:].split("|")}
    assert shown & {"BD", "BE", "BF", "PB", "PC"} == set(profile)
    assert ("old@" in answer) is ("BE" in profile)


@pytest.mark.parametrize(("profile", "shown"), [("[]", False), ('["PB"]', True)])
async def test_the_birth_date_is_personal_in_whatever_field_they_say_it(site, profile, shown):
    gateway = await site(f"personal_fields = {profile}")
    rules = FactRules(birth_date=Fact("PD"))
    for asked, request in (
        (anna(tail="PD19800501|"), ask_63("1001", "1001")),
        (anna_24(tail="PD19800501|"), ask_23("1001", "1001")),
    ):
        answer = await told(gateway, "kiosk-1", asked, request, facts=rules)
        assert ("PD19800501" in answer) is shown


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ("", "XA1|XB2|XA3|"),
        ('hide_fields = ["XA"]', "XB2|"),
        ('allow_fields = ["AE", "XA"]', "XA1|XA3|"),
        ('custom_patron_fields = [{ field = "XA", template = "{first_word}" }]', "XB2|XAPeeters|"),
    ],
)
async def test_unknown_fields_pass_as_the_profile_says(site, keys, shown):
    gateway = await site(keys)
    asked = anna(tail="XA1|XB2|XA3|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    assert answer.endswith(f"CQY|{shown}")


async def test_texts_are_recoded_and_other_bytes_pass_unchanged(gateway):
    """é is known to both encodings; FF is no UTF-8, so it stays what it is."""
    put_behind(
        gateway,
        FakeLibrary(),
        anna(tail="").__class__
        and said(
            f"64{'':14}001{THEN}{COUNTS}AOTHERE|AA1001|AEAnnÉ|BLY|CQY|XAé".encode() + b"\xff|"
        ),
    )
    terminal = await gateway.terminal("kiosk-1")
    await terminal.send(ask_63("1001", "1001"))
    raw = await terminal.reader.readuntil(b"\r")
    assert b"|AEAnn\x90|" in raw  # cp850
    assert raw.endswith(b"|XA\x82\xff|\r")


async def test_nothing_of_theirs_is_cut(gateway):
    title = "A long title. " * 30
    asked = anna(tail=f"AV{title}|AU{title}|XA{title}|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    for tag in ("AV", "AU", "XA"):
        assert fields(answer, tag, fixed=FIXED_64) == [title]


async def test_name_and_texts_are_written_as_the_profile_says(site):
    gateway = await site(
        'template_ae = "{first_word}"\n'
        'rewrite_screen_texts = [{ find = "Please pay", replace = "Go to the till" }]'
    )
    asked = anna(tail="AFPlease pay.|")
    answer = await told(gateway, "kiosk-1", asked, ask_63("1001", "1001"))
    assert fields(answer, "AE", fixed=FIXED_64) == ["Peeters"]
    assert fields(answer, "AF", fixed=FIXED_64) == ["Go to the till."]


async def test_staff_notices_and_answers_of_ours_are_shown(site):
    gateway = await site("staff_notices = true")
    asked = anna(tail="AFTheirs.|", notices=("Ours.",), answers=(("A1", "Yes."),))
    put_behind(gateway, FakeLibrary(), asked)
    answer = await (await gateway.terminal("kiosk-1")).ask(ask_63("1001", "1001"))
    assert fields(answer, "AF", fixed=FIXED_64)[:2] == ["Theirs.", "Ours."]


# Paying (C123) -------------------------------------------------------------------------------


async def test_who_comes_to_pay_is_not_told_what_is_about_money(gateway):
    from sip2gw.model import LibraryWord
    from sip2gw.protocol.fields import PatronFlag

    asked = anna(flags="YY Y      Y", tail="BV12.50|AFPlease pay.|AFHello.|")
    record = asked.record
    record.word = LibraryWord(
        record.word.flags,
        record.word.texts,
        money_flags=frozenset(map(PatronFlag, (0, 1, 3, 10, 11))),
        money_texts=("Please pay.",),
    )
    put_behind(gateway, FakeLibrary(), asked)
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_63("1001", "1001", extra="FWB|"))
    assert answer.startswith("64              001")
    assert fields(answer, "AF", fixed=FIXED_64) == ["Hello."]
    assert gateway.metrics.fee_limit_lifted == 1


# Refusals ------------------------------------------------------------------------------------

_CARD = Card("1001")


def known(pin, response=None):
    """What is said of Anna when her PIN is not right."""
    return Asked(PatronRecord("1001", "", cards=(_CARD,)), _CARD, pin, response)


async def test_wrong_and_locked_get_the_same_answer_of_our_own(gateway):
    """A locked PIN is not asked, so theirs would tell it from a wrong one (B74)."""
    theirs = said(
        f"64YYYY{'':10}001{THEN}{COUNTS}AOTHERE|AA1001|AE|BLY|CQN|AFTheir words.|"
    ).response
    wrong = await told(gateway, "kiosk-1", known(PinState.WRONG, theirs), ask_63("1001", "9"))
    locked = await told(gateway, "kiosk-1", known(PinState.LOCKED), ask_63("1001", "9"))
    assert wrong == locked
    assert wrong == (
        f"64YYYY          001{STAMP}{'0' * 24}AOHUB|AA1001|AE|BLY|CQN|"
        "AFCard or PIN is not correct.|"
    )


async def test_an_absent_pin_is_refused_where_the_profile_requires_one(gateway):
    asked = anna(pin=PinState.ABSENT)
    answer = await told(gateway, "pay-1", asked, ask_63("1001"))
    assert "AFPlease enter your PIN.|" in answer
    assert "Anna" not in answer


async def test_a_card_that_they_do_not_know_is_unknown(gateway):
    asked = Asked(None, None, PinState.ABSENT, None)
    answer = await told(gateway, "kiosk-1", asked, ask_23("4711", "1"))
    assert answer == (
        f"24YYYY          001{STAMP}AOHUB|AA4711|AE|BLN|CQN|"
        "AFThis card is not known. Please ask the staff.|"
    )


async def test_what_they_do_not_take_is_refused_and_not_sent(gateway):
    library = FakeLibrary(offered=frozenset({"23"}))
    identifier = put_behind(gateway, library, anna())
    for login in ("kiosk-1", "door-facts"):
        answer = await (await gateway.terminal(login)).ask(ask_63("1001", "1001"))
        assert answer.startswith("64YYYY")
        assert "AFThis service is not available here.|" in answer or "AF" in answer
        assert "BLN" in answer
    assert identifier.requests == []


@pytest.mark.parametrize("error", [NotAskedError(), NoAnswerError(), BadAnswerError()])
async def test_their_failure_is_a_no_and_leaves_the_store_up(gateway, error):
    answer = await told(gateway, "kiosk-1", error, ask_63("1001", "1001"))
    assert answer.startswith(f"64YYYY          001{STAMP}")
    assert "BLN" in answer
    assert gateway.app.is_ready
    assert gateway.metrics.backend_errors["63", error.kind] == 1


@pytest.mark.parametrize("request_", ["11YN", "09N", "01N", "17", "37"])
async def test_what_is_not_served_yet_is_refused_in_its_own_form(gateway, request_):
    put_behind(gateway, FakeLibrary())
    terminal = await gateway.terminal("kiosk-1")
    form = {"11": "12", "09": "10", "01": "24", "17": "18", "37": "38"}[request_[:2]]
    answer = await terminal.ask(f"{request_:<70}")
    assert answer.startswith(form)


# Doors ---------------------------------------------------------------------------------------


async def test_a_door_that_tells_facts_passes_theirs_on_and_records_what_we_decide(gateway):
    asked = anna(tail="BV3|AFTheirs.|")
    answer = await told(gateway, "door-facts", asked, ask_63("1001", "1001"))
    assert answer.endswith("BLY|CQY|BHEUR|BV3.00|AFTheirs.|")
    await gateway.store.ping()
    (row,) = gateway.store.access_rows()
    assert (row.mode, row.reason, row.patron_id) == ("facts", "no_badge", "1001")


async def test_a_door_that_decides_decides_as_ever(gateway):
    """The identifier finds the patron; here in the store, elsewhere at the library system."""
    put_behind(gateway, FakeLibrary())
    door = await gateway.terminal("door-1")
    for request in (ask_23("1009", "1009"), ask_63("1009", "1009")):
        answer = await door.ask(request)
        assert answer[2:5] == "Y  "
        assert "You are not registered" in answer


async def test_an_exit_asks_nobody_and_lets_out_who_only_they_know(tmp_path):
    config = CONFIG.replace(
        'door = { require_badges = ["ONBE"], minimum_age = 16 }', "door = { capacity = 5 }"
    )
    async with running(tmp_path, config=config) as gateway:
        identifier = put_behind(gateway, FakeLibrary())
        left = []
        backend = gateway.app.gateway.services.backend
        inner, backend.leave_branch = backend.leave_branch, None

        async def leave(branch, patron):
            left.append((branch, patron))
            await inner(branch, patron)

        backend.leave_branch = leave
        out = await gateway.terminal("door-out")
        for number in ("77", ""):
            assert "BLY|CQY|" in await out.ask(ask_23(number))
        assert left == [("MAIN", "77")]
        assert identifier.requests == []


EVERY_MESSAGE = 'messages = ["01", "09", "11", "29", "63", "65", "99"]'

# 99 ------------------------------------------------------------------------------------------


async def test_98_promises_what_both_of_us_do(gateway):
    put_behind(gateway, FakeLibrary(offered=frozenset({"63", "11"})))
    kiosk = await gateway.terminal("kiosk-1")
    #                 23 no, 11 and 63 yes, 35 no
    assert await kiosk.ask("9900402.00") == (
        f"98YNYNNY100003{STAMP}2.00AOHUB|AMHub Library|BXNYNNYYYYNNNNNNNN|ANMAIN|"
    )


ALL_FLAGS = {
    "online": True,
    "checkin_ok": True,
    "checkout_ok": True,
    "renewal_policy": True,
    "status_update_ok": True,
    "offline_ok": True,
}


@pytest.mark.parametrize(
    ("theirs", "offered", "flags"),
    [
        ({}, "01 09 11 29", "YYYYYY"),
        ({}, "01 09 11 65", "YYYYYY"),
        ({"checkin_ok": False}, "01 09 11 29", "YNYYYY"),
        ({"checkout_ok": False}, "01 09 11 29", "YYNYYY"),
        ({"renewal_policy": False}, "01 09 11 29", "YYYNYY"),
        ({"status_update_ok": False}, "01 09 11 29", "YYYYNY"),
        ({"offline_ok": False}, "01 09 11 29", "YYYYYN"),
        ({}, "01 09 29", "YYNYYY"),
        ({}, "01 11 29", "YNYYYY"),
        ({}, "01 09 11", "YYYNYY"),
        ({}, "09 11 29", "YYYYNY"),
        ({}, "01 29", "YNNYYN"),
    ],
)
async def test_their_flags_take_away_from_ours(site, theirs, offered, flags):
    gateway = await site("may_block_patrons = true\naccept_offline = true\n" + EVERY_MESSAGE)
    last = AcsStatus(**{**ALL_FLAGS, **theirs})
    library = FakeLibrary(last=last, offered=frozenset(offered.split()))
    put_behind(gateway, library, every_message=True)
    assert (await (await gateway.terminal("kiosk-1")).ask("9900402.00"))[2:8] == flags


@pytest.mark.parametrize(
    "theirs",
    [
        {"library": FakeLibrary(away=True)},
        {"library": FakeLibrary(last=AcsStatus(online=False))},
        {"library": FakeLibrary({"99": NotAskedError()}, last=None, offered=None)},
    ],
)
async def test_98_says_that_they_are_away(gateway, theirs):
    """On-line N, and of the six flags only off-line ok Y: this kiosk accepts what happened
    off line. Time-out 000, no retries, and a text that says when to come back."""
    put_behind(gateway, theirs["library"])
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask("9900402.00")
    assert answer.startswith(f"98NNNNNY000000{STAMP}2.00AOHUB|")
    assert "AFThe library system cannot be reached. Please try again in a few minutes.|" in answer
    assert gateway.app.is_ready


async def test_98_promises_no_off_line_work_where_it_is_not_accepted(site):
    gateway = await site("accept_offline = false")
    put_behind(gateway, FakeLibrary(away=True))
    assert (await (await gateway.terminal("kiosk-1")).ask("9900402.00")).startswith("98NNNNNN000")


async def test_who_asks_before_their_first_98_waits_for_it(gateway):
    first = AcsStatus(online=True, supported_messages=frozenset({"23", "35"}))
    library = FakeLibrary({"99": first}, last=None, offered=None)
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    assert "BXYNNNYYYNYNNNNNNN|" in await kiosk.ask("9900402.00")
    ((account, terminal, request, lease),) = library.asked
    assert (account, terminal, request.code, lease) == ("default", "kiosk-1", "99", None)


# 35 ------------------------------------------------------------------------------------------

END = f"35{STAMP}AOHUB|AA1001|ACsecret|AD1001|"
ENDED = f"36Y{STAMP}AOHUB|AA1001|"


async def ended(gateway, library, *, leased):
    """What a 35 is told by a session that has a line up there or not."""
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    (line,) = gateway.app.server.lines_of("kiosk-1")
    line.conversation.session.lease = Lease(b"1001", "a line" if leased else None, 1e9)
    return await kiosk.ask(END)


async def test_35_ends_the_lease_on_its_own_line_and_is_always_y(gateway):
    refused = EndSessionResponse(end_session=False, screen_message=("no",))
    library = FakeLibrary({"35": refused})
    assert await ended(gateway, library, leased=True) == ENDED
    ((account, terminal, up, lease),) = library.asked
    assert (account, terminal, lease.line) == ("default", "kiosk-1", "a line")
    assert (up.institution_id, up.patron_identifier) == ("THERE", "1001")
    assert up.patron_password is None  # nobody looks at it here, so none may be tried out there
    assert library.released == [lease]


@pytest.mark.parametrize("error", [NotAskedError(), NoAnswerError(), BadAnswerError()])
async def test_35_is_y_though_they_are_away(gateway, error):
    library = FakeLibrary({"35": error})
    assert await ended(gateway, library, leased=True) == ENDED
    assert len(library.released) == 1


@pytest.mark.parametrize(("offered", "leased"), [(ALL_CODES, False), (frozenset(), True)])
async def test_35_stays_here_if_there_is_no_line_or_they_do_not_take_it(gateway, offered, leased):
    library = FakeLibrary(offered=offered)
    assert await ended(gateway, library, leased=leased) == ENDED
    assert library.asked == []
    assert len(library.released) == 1
