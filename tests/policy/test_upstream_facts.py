"""What the answers of a library system say, and the snapshot made of it (B72, C121, C150, C158)."""

import re
from datetime import UTC, date, datetime

import pytest
from answers_of_systems import DECODE, information, status
from family import ADULT, HEAD_OF_TOM, fee, patron
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields as attributes
from msgspec.structs import replace

from sip2gw.config.tables.upstream import Account
from sip2gw.model import (
    BadgeAssignment,
    Block,
    BlockType,
    Card,
    CardHere,
    CardState,
    DoorEntry,
    LibraryWord,
    Membership,
    Origin,
    PatronRecord,
    Until,
)
from sip2gw.policy.upstream.facts import (
    completed,
    deny_doubtful,
    is_numbered_here,
    pin_is_right,
    pin_word,
    read_facts,
    record_of,
    says_nothing,
)
from sip2gw.policy.upstream.fields import read_date
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import BY_FLAGS, Fact, FactRules
from sip2gw.protocol.messages import PatronInformationResponse


def said(record: PatronRecord) -> LibraryWord:
    assert record.word is not None
    return record.word


def origin_of(record: PatronRecord) -> Origin:
    origin = said(record).origin
    assert origin is not None
    return origin


def card_of(record: PatronRecord, number: str) -> Card:
    card = record.card(number)
    assert card is not None
    return card


KOHA = PRESETS["koha"].facts
EVERGREEN = PRESETS["evergreen"].facts


def read(fields, rules=KOHA, answer=information, flags=b""):
    return read_facts(answer(fields, flags), rules, "EUR", DECODE)


# Presets --------------------------------------------------------------------------------------


def test_a_patron_of_koha():
    facts = read(
        b"AOMAIN|AA23529|AEAnna Peeters|BLY|CQY|BV3.50|CC5|BDKerkstraat 1|BEanna@example.org|"
        b"BF0470|PB19800501|PCADULT|PIY|AVOverdue: Emma 1.50|AVLost: 1984 2.00|AFGreetings|",
        flags=b"   Y",
    )
    assert (facts.id, facts.name) == ("23529", "Anna Peeters")
    assert (facts.address, facts.email, facts.phone) == ("Kerkstraat 1", "anna@example.org", "0470")
    assert (facts.birth_date, facts.membership) == (date(1980, 5, 1), "ADULT")
    assert (facts.membership_until, facts.word.until) == (None, Until.UNMAPPED)
    assert [line.amount for line in facts.lines] == [150, 200]
    assert (facts.word.flags, facts.word.texts) == ({3}, ("Greetings",))
    assert facts.word.fee_amount == 350


def test_a_patron_of_evergreen():
    facts = read(b"AA1|PB19800501|PA20261231|PCPatrons|AQBR1|", EVERGREEN)
    assert (facts.membership_until, facts.word.until) == (date(2026, 12, 31), Until.KNOWN)
    assert (facts.membership, facts.home_branch) == ("Patrons", "BR1")


def test_a_patron_of_symphony():
    facts = read(
        b"AA1|PD19800501|PA20261231    235900|PCADULT|AQMAIN|BV 12.00|", PRESETS["symphony"].facts
    )
    assert (facts.birth_date, facts.membership_until) == (date(1980, 5, 1), date(2026, 12, 31))
    assert facts.word.fee_amount == 1200


def test_horizon_glues_text_to_its_dates():
    facts = read(b"AA1|PB19800501|PE20261231    235900staff|ZYa|", PRESETS["horizon"].facts)
    assert (facts.membership_until, facts.membership) == (date(2026, 12, 31), "a")


def test_polaris_has_a_card_number_in_pb_and_another_in_pc():
    facts = read(
        b"AA1|BC19800501    235959|PX20261231    000000|PA3|PECEN|PB19800102|PC77|",
        PRESETS["polaris"].facts,
    )
    assert facts.birth_date == date(1980, 5, 1)
    assert (facts.membership, facts.home_branch) == ("3", "CEN")


def test_a_patron_of_folio():
    facts = read(b"AA1|FUstaff|FVStaff members|CGa|FA1.00|", PRESETS["folio"].facts)
    assert facts.membership == "staff"
    assert [one.id for one in facts.fees] == ["a"]


@pytest.mark.parametrize("name", ["sierra", "alma", "none"])
def test_of_others_nothing_is_known_to_be_the_same_at_all_sites(name):
    facts = read(b"AA1|PB19800501|PA20261231|PCX|AQMAIN|GLONBE|", PRESETS[name].facts)
    assert (facts.birth_date, facts.membership_until, facts.membership) == (None, None, None)
    assert (facts.home_branch, facts.badges) == (None, ())


def test_the_habits_of_a_preset_are_keys_of_an_account():
    keys = {key.name for key in attributes(Account)}
    assert {habit for preset in PRESETS.values() for habit in preset.habits} <= keys
    assert PRESETS["symphony"].habits == {"login_algorithm": " "}


# Facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fact", "day"),
    [
        (b"20261231", Fact("PA"), date(2026, 12, 31)),
        (b" 20261231 ", Fact("PA"), date(2026, 12, 31)),
        (b"20261231    235900", Fact("PA"), date(2026, 12, 31)),
        (b"2026-12-31", Fact("PA"), date(2026, 12, 31)),
        (b"2026-1-5", Fact("PA"), date(2026, 1, 5)),
        (b"31DEC2026", Fact("PA", ("%d%b%Y",)), date(2026, 12, 31)),
        (b"2026121", Fact("PA"), None),  # 1 December, or a digit is missing
        (b"20261231235900", Fact("PA"), None),
        (b"20260230", Fact("PA"), None),
        (b"00000000", Fact("PA"), None),
        (b"31.12.2026", Fact("PA"), None),
        (b"31.12.2026", Fact("PA", ("%Y%m%d", "%d.%m.%Y")), date(2026, 12, 31)),
        (b"20261231staff", Fact("PA"), None),
        (b"20261231staff", Fact("PA", length=8), date(2026, 12, 31)),
        (b"  20261231", Fact("PA", length=8), None),  # cut before it is trimmed
        (b"NEVER", Fact("PA", map={"NEVER": "29991231"}), date(2999, 12, 31)),
        (b"20261231", Fact("PA", map={"NEVER": "29991231"}), date(2026, 12, 31)),
        (b"?", Fact("PA", default="20200101"), date(2020, 1, 1)),
        (b"", Fact("PA", default="20200101"), None),
        (b"2026" + b" " * 40 + b"1231", Fact("PA", ("%Y %m%d",)), None),
        (b"20261231", Fact("PA", ("%Q", "%Y%m%d")), date(2026, 12, 31)),
    ],
)
def test_a_date_is_read_in_the_first_format_that_fits(value, fact, day):
    facts = read(b"AA1|PA" + value + b"|", FactRules(membership_until=fact, birth_date=fact))
    assert facts.membership_until == facts.birth_date == day


def test_digits_of_other_scripts_are_no_date():
    assert read_date("2026-01-05", ("%Y-%m-%d",)) == date(2026, 1, 5)
    assert read_date("2026-01-0\N{ARABIC-INDIC DIGIT FIVE}", ("%Y-%m-%d",)) is None


@pytest.mark.parametrize(
    ("fields", "default", "until"),
    [
        (b"AA1|", None, Until.UNREADABLE),
        (b"AA1|PA|", None, Until.UNREADABLE),
        (b"AA1|PAsoon|", None, Until.UNREADABLE),
        (b"AA1|", BY_FLAGS, Until.BY_FLAGS),
        (b"AA1|PAsoon|", BY_FLAGS, Until.BY_FLAGS),
        (b"AA1|PA20261231|", BY_FLAGS, Until.KNOWN),
    ],
)
def test_what_the_word_about_the_end_is_worth(fields, default, until):
    rules = FactRules(membership_until=Fact("PA", default=default))
    assert read(fields, rules).word.until is until


@pytest.mark.parametrize(
    ("value", "fact", "code"),
    [
        (b"ADULT", Fact("PC"), "ADULT"),
        (b" ADULT ", Fact("PC", default="201"), "ADULT"),  # without a map words are their own
        (b"ADULT", Fact("PC", map={"ADULT": "201"}), "201"),
        (b"CHILD", Fact("PC", map={"ADULT": "201"}), None),
        (b"CHILD", Fact("PC", map={"ADULT": "201"}, default="202"), "202"),
        (b"", Fact("PC", map={"ADULT": "201"}, default="202"), None),
        (b"ADULT-3", Fact("PC", length=5, map={"ADULT": "201"}), "201"),
        (b"AD\1ULT", Fact("PC"), None),
    ],
)
def test_a_word_becomes_ours_by_the_map(value, fact, code):
    facts = read(b"AA1|PC" + value + b"|", FactRules(membership=fact, home_branch=fact))
    assert facts.membership == facts.home_branch == code
    assert facts.word.membership_known is (code is not None)


def test_badges_stand_in_any_number_of_fields_declared_or_not():
    assert read(b"AA1|GLONBE|GLKEYS|GLONBE|", FactRules(badges=Fact("GL"))).badges == (
        "ONBE",
        "KEYS",
    )
    many = FactRules(badges=Fact("ZZ", map={"night": "ONBE"}))
    assert read(b"AA1|ZZnight|ZZother|ZZ|", many).badges == ("ONBE",)


def test_a_fact_in_a_field_that_is_no_text_is_unknown():
    assert read(b"AA1|BZ0005|", FactRules(membership=Fact("BZ"))).membership is None


def test_a_24_says_the_same_in_fields_that_it_does_not_declare():
    said = b"AA1|AEAnna|BLY|PB19800501|PCADULT|GLONBE|BV1.00|BEanna@example.org|BHUSD|"
    rules = replace(KOHA, badges=Fact("GL"))
    assert read(said, rules, status) == replace(read(said, rules), is_full=False)
    assert read(said, rules, status).email == "anna@example.org"


def test_of_a_field_that_may_stand_once_the_first_counts():
    assert read(b"AA1|PB19800501|PB20200101|").birth_date == date(1980, 5, 1)


def test_facts_show_nothing_personal():
    told = repr(read(b"AA4711|AEAnna|PB19800501|BEanna@example.org|BV3.33|AFDear Anna|"))
    assert not re.search("4711|Anna|anna|1980|333|3.33", told)


# Answers that say nothing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "nothing", "right"),
    [
        (b"AA1|BLY|CQY|", False, True),
        (b"AA1|BLY|", False, False),  # silence is not yes
        (b"AA1|BLY|CQN|", True, False),
        (b"AA1|BLN|", True, False),
        (b"AA1|BLN|CQY|", True, False),
        (b"AA1|CQY|", False, True),
    ],
)
@pytest.mark.parametrize("answer", [information, status])
def test_an_answer_with_bln_or_cqn_says_nothing(fields, nothing, right, answer):
    response = answer(fields)
    assert (says_nothing(response), pin_is_right(response)) == (nothing, right)


@pytest.mark.parametrize(
    ("fields", "word", "word_of_who_says_cq"),
    [
        (b"AA1|BLY|CQY|", True, True),
        (b"AA1|BLY|", None, False),
        (b"AA1|BLY|CQN|", False, False),
        (b"AA1|BLN|", False, False),
    ],
)
def test_silence_about_a_pin_is_a_no_of_those_who_say_cq_of_right_ones(
    fields, word, word_of_who_says_cq
):
    """B74, C158."""
    said = information(fields)
    assert pin_word(said, says_cq=False) is word
    assert pin_word(said, says_cq=True) is word_of_who_says_cq


@pytest.mark.parametrize(
    ("fields", "valid", "right"),
    [
        (b"AA1|BLY|CQY|BLY|CQY|XZN|", True, True),
        (b"AA1|BLY|CQY|CQN|", True, False),
        (b"AA1|BLY|CQN|CQY|", True, False),
        (b"AA1|BLY|CQY|CQ|", True, False),
        (b"AA1|BLY|CQY|BLN|", False, True),
        (b"AA1|BLN|CQY|BLY|", False, True),
    ],
)
@pytest.mark.parametrize("answer", [information, status])
def test_what_is_said_both_ways_is_no_yes(fields, valid, right, answer):
    """C121: what is unknown fails closed."""
    said = answer(fields)
    deny_doubtful(said)
    assert (said.valid_patron, said.valid_patron_password) == (valid, right)


def test_where_no_pin_was_asked_cqn_means_nothing():
    assert not says_nothing(status(b"AA1|BLY|CQN|"), with_pin=False)  # so does Koha's 24
    assert says_nothing(status(b"AA1|BLN|CQN|"), with_pin=False)


# The snapshot ---------------------------------------------------------------------------------

SAID = (
    b"AAMAIN-1|AEA. Peeters|BLY|BV5.00|PB19800501|PA20261231|PC201|AQBR1|GLKEYS|GLONBE|"
    b"BEtheirs@example.org|AFRead this|"
)
FACTS = read(SAID, replace(EVERGREEN, badges=Fact("GL")), flags=b"Y")
LOCKED = datetime(2026, 3, 10, 12, 5, tzinfo=UTC)
OURS = patron(
    "MAIN-1",
    birth_date=date(1999, 1, 1),
    membership=Membership("ours", "Ours", 1),
    membership_until=date(2030, 1, 1),
    home_branch="WEST",
    language="nl",
    email="ours@example.org",
    phone="0471",
    address="Ours 1",
    cards=(
        Card("MAIN-1", pin_failures=3, pin_locked_until=LOCKED),
        Card("OLD", CardState.REPLACED, 3, LOCKED),
    ),
    badges=(BadgeAssignment("ONBE", assignment_branches=("MAIN",)),),
    blocks=(Block(BlockType.GENERAL),),
    notices=("call us",),
    answers=("yes",),
    house_rules_accepted=date(2026, 1, 1),
    fee_limit=700,
    fees=(fee("F", "MAIN-1", 100),),
    payer_for=(HEAD_OF_TOM,),
    door_entries=(DoorEntry("bar", "*", "OLD"),),
)


def test_what_both_could_know_is_theirs():
    record = record_of(FACTS, "SCANNED", CardHere(OURS), ADULT)
    assert (record.id, record.name) == ("MAIN-1", "A. Peeters")
    assert (record.birth_date, record.home_branch) == (date(1980, 5, 1), "BR1")
    assert (record.membership, record.membership_until) == (ADULT, date(2026, 12, 31))
    assert record.email == "theirs@example.org"
    assert [one.owed for one in record.fees] == [500]
    assert (said(record).flags, said(record).texts) == ({0}, ("Read this",))


def test_what_only_we_can_know_is_ours():
    record = record_of(FACTS, "SCANNED", CardHere(OURS), ADULT)
    for name in (
        "blocks",
        "notices",
        "answers",
        "house_rules_accepted",
        "fee_limit",
        "payer_for",
        "door_entries",
        "language",
        "membership_from",
        "phone",
        "address",
    ):
        assert getattr(record, name) == getattr(OURS, name), name
    assert record.pin_hash is None  # PINs are theirs


def test_a_number_that_nobody_has_here_may_be_on_a_doors_list():
    """B34: also beside a patron of ours whom the answer named by another number (C151)."""
    barred = DoorEntry("bar", "*", "SCANNED")
    stranger = record_of(FACTS, "SCANNED", CardHere(None, (barred,)), None)
    assert stranger.door_entries == (barred,)
    both = record_of(FACTS, "SCANNED", CardHere(OURS, (barred,)), None)
    assert both.door_entries == (DoorEntry("bar", "*", "OLD"), barred)


def test_our_badges_go_before_theirs_because_they_may_be_limited():
    assert record_of(FACTS, "MAIN-1", CardHere(OURS), None).badges == (
        BadgeAssignment("ONBE", assignment_branches=("MAIN",)),
        BadgeAssignment("KEYS"),
    )


def test_the_cards_are_the_scanned_one_the_answers_and_those_we_know():
    record = record_of(FACTS, "SCANNED", CardHere(OURS), None)
    assert record.cards == (
        Card("SCANNED", CardState.ACTIVE, 3, LOCKED),
        Card("MAIN-1", CardState.ACTIVE, 3, LOCKED),
        Card("OLD", CardState.REPLACED, 3, LOCKED),
    )
    assert card_of(record_of(FACTS, "OLD", CardHere(OURS), None), "OLD").state is CardState.REPLACED
    replaced_only = replace(OURS, cards=OURS.cards[1:])
    assert (
        card_of(record_of(FACTS, "MAIN-1", CardHere(replaced_only), None), "MAIN-1").state
        is CardState.ACTIVE
    )
    assert record_of(FACTS, "SCANNED", CardHere(), None).cards == (Card("SCANNED"), Card("MAIN-1"))


@pytest.mark.parametrize(
    ("ours", "is_known", "is_numbered"),
    [
        pytest.param(OURS, True, True, id="ours"),
        pytest.param(None, False, False, id="a stranger"),
        pytest.param(replace(OURS, id="MAIN-2"), True, False, id="ours by another card"),
    ],
)
def test_whether_our_store_has_the_number_by_which_they_know_a_patron(ours, is_known, is_numbered):
    record = record_of(FACTS, "MAIN-1", CardHere(ours), None)
    assert origin_of(record).known_here is is_known
    assert is_numbered_here(record) is is_numbered
    assert not is_numbered_here(OURS)  # nobody has asked them


@pytest.mark.parametrize(("status_of_ours", "status_here"), [(8, 8), (4, 4), (3, 5), (0, 5)])
def test_our_status_counts_where_it_blocks(status_of_ours, status_here):
    record = record_of(FACTS, "MAIN-1", CardHere(replace(OURS, status=status_of_ours)), None)
    assert record.status == status_here


def test_a_status_for_a_fee_of_ours_that_was_paid_blocks_no_more():
    paid = replace(OURS, status=4, status_fee="GONE")
    assert record_of(FACTS, "MAIN-1", CardHere(paid), None).status == 5
    assert record_of(FACTS, "MAIN-1", CardHere(replace(paid, status_fee="F")), None).status == 4


SILENT = read(b"AAMAIN-1|AE|", EVERGREEN)


def test_what_they_do_not_say_is_ours_if_we_know_it():
    record = record_of(SILENT, "MAIN-1", CardHere(OURS), None)
    assert (record.name, record.email) == (OURS.name, OURS.email)
    assert (record.birth_date, record.home_branch) == (date(1999, 1, 1), "WEST")
    assert (record.membership, record.membership_until) == (OURS.membership, date(2030, 1, 1))
    assert (said(record).until, said(record).membership_known) == (Until.KNOWN, True)


def test_what_nobody_says_is_unknown():
    record = record_of(SILENT, "MAIN-1", CardHere(), None)
    assert (record.birth_date, record.home_branch, record.membership) == (None, None, None)
    assert (record.membership_until, said(record).until) == (None, Until.UNREADABLE)
    assert said(record).membership_known is False
    assert (record.status, record.language, record.badges, record.fees) == (5, None, (), ())


def test_a_membership_without_a_definition_is_known_and_limits_nothing():
    record = record_of(FACTS, "MAIN-1", CardHere(OURS), None)
    assert record.membership == Membership("201", "201", 0)
    assert said(record).membership_known


# Hostile answers ------------------------------------------------------------------------------

RULES = st.builds(
    FactRules,
    birth_date=st.none() | st.builds(Fact, st.sampled_from(["PB", "PA", "AF", "BZ"])),
    membership_until=st.none()
    | st.builds(
        Fact,
        st.sampled_from(["PA", "GL"]),
        length=st.none() | st.integers(0, 20),
        default=st.sampled_from([None, BY_FLAGS, "20200101"]),
    ),
    membership=st.none() | st.builds(Fact, st.sampled_from(["PC", "AE"])),
    badges=st.none() | st.builds(Fact, st.sampled_from(["GL", "CG", "ZZ"])),
    home_branch=st.none() | st.builds(Fact, st.sampled_from(["AQ", "AO"])),
    fees=st.sampled_from(["none", "standard", "av_koha", "av_evergreen", "gossip"]),
)
TAGS = st.sampled_from(
    [
        *("AA", "AE", "AF", "AO", "AQ", "AV", "BD", "BE", "BF", "BL", "BV", "BZ", "CG", "CQ"),
        *("FA", "FC", "FF", "GL", "PA", "PB", "PC", "ZZ"),
    ]
)
ANSWERS = st.sampled_from([information, status])
VALUES = (
    st.binary(max_size=60)
    | st.sampled_from([b"20261231", b"1.00", b"#1 Fee 2.00", b'3 $1 "FINE" x', b"\xff\0"])
    | st.text("0123456789.,-$# ", max_size=12).map(str.encode)
)


@given(
    st.lists(st.tuples(TAGS, VALUES), max_size=12), RULES, st.sampled_from([information, status])
)
def test_whatever_stands_in_a_field_a_fact_is_right_or_unknown(parts, rules, answer):
    fields = b"".join(tag.encode() + value.replace(b"|", b"") + b"|" for tag, value in parts)
    facts = read(fields, rules, answer)
    record = record_of(facts, "1", CardHere(), None)
    assert record.birth_date is None or isinstance(record.birth_date, date)
    assert (said(record).until is Until.KNOWN) == (record.membership_until is not None)
    assert said(record).membership_known == (record.membership is not None)
    codes = [facts.membership, facts.home_branch, *facts.badges, *(one.id for one in facts.fees)]
    assert all(code is None or code.isprintable() for code in codes)
    ids = [one.id for one in record.fees]
    assert len(ids) == len(set(ids))
    assert repr(facts)


UNTIL = FactRules(membership_until=Fact("PA"))


@given(
    st.dates(min_value=date(1000, 1, 1)),
    st.sampled_from(["%Y%m%d", "%Y%m%d    123456", "%Y-%m-%d"]),
)
def test_every_date_is_read_as_the_day_it_says(day, form):
    facts = read(b"AA1|PA" + day.strftime(form).encode() + b"|", UNTIL)
    assert facts.membership_until == day


@pytest.mark.parametrize("said", [b"00010101", b"1800-01-01", b"19000101", b"19000101    000000"])
def test_a_date_that_stands_for_no_birth_date_makes_nobody_old_enough(said):
    """B36; the next day somebody may have been born."""
    assert read(b"AA1|PB" + said + b"|").birth_date is None
    assert read(b"AA1|PB19000102|").birth_date == date(1900, 1, 2)


def test_what_is_not_in_an_answer_of_ours_is_unknown():
    facts = read_facts(PatronInformationResponse(), KOHA, "EUR", DECODE)
    assert (facts.birth_date, facts.word.fee_amount, facts.fees) == (None, None, ())


# A 24 after a 64 (B40) ------------------------------------------------------------------------

RICH = FactRules(
    birth_date=Fact("PB"),
    membership_until=Fact("PA"),
    membership=Fact("PC"),
    home_branch=Fact("AQ"),
    badges=Fact("GL"),
    fees="av_evergreen",
)
TOLD = (
    b"AA1|AEAnna|BDKerkstraat 1|BEa@example.org|BF0470|PB19800501|PA20261231|PCADULT|AQBR1|GLONBE|"
    b'BV3.50|AV7 $3.50 "FINE" late|'
)
STORED = PatronRecord("1", "", birth_date=date(1999, 1, 1), badges=(BadgeAssignment("MINE"),))


def seen(answer, fields, flags=b"", ours=STORED, membership=None):
    return record_of(read(fields, RICH, answer, flags), "91", CardHere(ours), membership)


def test_what_a_24_does_not_say_is_as_the_64_before_it_said():
    earlier = seen(information, TOLD, membership=ADULT)
    record = completed(seen(status, b"AA1|AE|GLONBE|"), earlier)
    assert record == replace(earlier, word=record.word)
    assert said(record) == replace(said(earlier), origin=said(record).origin)
    assert origin_of(record).facts.lines == origin_of(earlier).facts.lines
    again = record_of(
        origin_of(record).facts, "91", CardHere(STORED), ADULT
    )  # when our store has changed
    assert again == replace(record, word=again.word)
    assert replace(said(again), origin=None) == replace(said(record), origin=None)


def test_what_a_24_says_counts_at_once():
    earlier = seen(information, TOLD, membership=ADULT)
    fields = b"AA1|AEAnn|PB19990101|PA20260101|PCCHILD|AQBR2|BV20.00|AFBlocked|GLSAUN|"
    record = seen(status, fields, b"Y", membership=Membership("CHILD", "Children", 0))
    full = completed(record, earlier)
    contacts = {"address": "Kerkstraat 1", "email": "a@example.org", "phone": "0470"}
    assert full == replace(record, **contacts, word=full.word)
    assert replace(said(full), origin=None) == replace(said(record), origin=None)


def test_a_badge_that_a_24_does_not_have_was_taken():
    full = completed(seen(status, b"AA1|AE|"), seen(information, TOLD))
    assert [badge.code for badge in full.badges] == ["MINE"]


def test_our_part_is_as_it_is_now():
    blocked = replace(STORED, blocks=(Block(BlockType.GENERAL),))
    record = seen(status, b"AA1|AE|", ours=blocked)
    record = replace(record, word=replace(said(record), pending=("7",)))
    full = completed(record, seen(information, TOLD, ours=None))
    assert (full.blocks, said(full).pending) == (blocked.blocks, ("7",))
    assert origin_of(full).known_as == "1"


@pytest.mark.parametrize(
    ("before", "flags", "amount"),
    [
        (b"", b"", 350),
        (b"", b" " * 10 + b"Y", None),
        (b" " * 10 + b"Y", b" " * 10 + b"Y", 350),
    ],
)
def test_debts_are_those_of_the_64_unless_a_flag_is_new_c150(before, flags, amount):
    earlier = seen(information, TOLD, before)
    full = completed(seen(status, b"AA1|AE|", flags), earlier)
    assert said(full).fee_amount == amount
    assert full.fees == (earlier.fees if amount else ())


@pytest.mark.parametrize("fields", [b"BV0.00|", b'AV8 $20.00 "FINE" later|'])
def test_debts_that_a_24_mentions_are_those_that_count(fields):
    record = seen(status, b"AA1|AE|" + fields)
    full = completed(record, seen(information, TOLD))
    assert (full.fees, said(full).fee_amount) == (record.fees, said(record).fee_amount)


def test_a_second_24_is_completed_too():
    earlier = seen(information, TOLD)
    for _ in range(2):
        earlier = completed(seen(status, b"AA1|AE|"), earlier)
    assert earlier.membership_until == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("record", "earlier"),
    [
        (seen(information, b"AA1|AE|"), seen(information, TOLD)),  # what it does not say is unknown
        (seen(status, b"AA1|AE|"), seen(status, TOLD)),
        (seen(status, b"AA1|AE|"), STORED),
        (STORED, seen(information, TOLD)),
        (seen(status, b"AA1|AE|"), replace(seen(information, TOLD), word=LibraryWord(frozenset()))),
    ],
)
def test_only_a_24_after_a_64_is_completed(record, earlier):
    assert completed(record, earlier) is record
