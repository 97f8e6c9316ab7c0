"""What the answers of a library system about items are worth (B59, B73, C153)."""

from zoneinfo import ZoneInfo

import pytest

from sip2gw.policy.items.elsewhere import collection_code, read_due, said_of
from sip2gw.policy.upstream.passing import deed_of, password_word, said_material, unknown_there
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import (
    CheckinResponse,
    Checkout,
    CheckoutResponse,
    Hold,
    ItemInformation,
    PatronEnableResponse,
    Renew,
    RenewAll,
)

BRUSSELS = ZoneInfo("Europe/Brussels")
CP850 = text_encoding("cp850", keeps=True)


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("20260331    235959", "2026-03-31T23:59:59+02:00"),
        ("20260331   Z120000", "2026-03-31T12:00:00+00:00"),
        ("20260331    235900 (renewed)", "2026-03-31T23:59:00+02:00"),
        ("20260331", "2026-03-31T23:59:59+02:00"),
        ("2026-03-31", "2026-03-31T23:59:59+02:00"),
        ("2026-03-31 18:00", "2026-03-31T18:00:00+02:00"),
        (" 2026-03-31T18:00:30 ", "2026-03-31T18:00:30+02:00"),
        ("31.03.2026", "2026-03-31T23:59:59+02:00"),
        # What is no date, or anybody's guess, is not read.
        ("", None),
        ("31/03/2026", None),
        ("20260231    120000", None),
        ("2026-02-31", None),
        ("2026-03-31 25:00", None),
        ("99991231", None),
        ("31.03.26", None),
        ("٢٠٢٦-٠٣-٣١", None),
    ],
)
def test_a_due_date_is_read_where_it_is_certain(said, due):
    moment = read_due(said, BRUSSELS)
    assert (moment and moment.isoformat()) == due


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("item", "B1"),
        ("material", "fic"),
        ("media_type", "001"),
        ("owner_branch", "MAIN"),
        ("call_number", "82"),
        ("destination", "EAST"),
        ("alert_type", "01"),
        ("title_id", None),
        ("shelf", None),
        ("attachment", None),
    ],
)
def test_a_sorter_sees_what_a_10_says(field, value):
    said = CheckinResponse(
        item_identifier="B1",
        collection_code="fic",
        media_type="001",
        permanent_location="MAIN",
        call_number="82",
        destination_location="EAST",
        alert_type="01",
    )
    assert said_of(said, field) == value


def test_alert_type_00_is_no_alert():
    assert said_of(CheckinResponse(alert_type="00"), "alert_type") is None


def test_cr_is_theirs_where_they_do_not_say_what_the_profile_wants():
    said = CheckinResponse(collection_code="fic")
    wanted = ("material", "shelf", "call_number", "owner_branch")
    assert {collection_code(said, one) for one in wanted} == {"fic"}


def test_a_request_without_a_number_names_nobody_unknown():
    assert unknown_there(ItemInformation(item_identifier="B1"), CP850) is None
    assert unknown_there(ItemInformation(item_identifier="Bč"), CP850) == "unknown_item"
    assert unknown_there(Checkout(patron_identifier="č"), CP850) == "unknown_card"


def test_the_first_cr_of_a_request_names_the_material():
    fields = [("XZ", b"1"), ("CR", b" B\x82B\x82 "), ("CR", b"GAME")]
    assert said_material(Checkout(extra_fields=fields), CP850) == "BéBé"
    assert said_material(Checkout(extra_fields=fields[:1]), CP850) is None


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ([], None),
        ([("CQ", b"N")], False),
        ([("XZ", b"Y"), ("CQ", b"Y"), ("CQ", b"N")], True),
        ([("CQ", b"maybe")], None),
    ],
)
def test_cq_is_heard_in_every_answer(fields, word):
    assert password_word(CheckoutResponse(extra_fields=fields)) is word


def test_cq_where_it_belongs_goes_first():
    said = PatronEnableResponse(valid_patron_password=False, extra_fields=[("CQ", b"Y")])
    assert password_word(said) is False


def test_a_deed_is_the_same_whomever_and_whatever_it_is_about():
    one = Checkout(patron_identifier="91", patron_password="1234", item_identifier="B1")
    other = Checkout(patron_identifier="92", patron_password="4321", item_identifier="B2")
    assert deed_of(one) == deed_of(other)


def test_another_message_or_another_mode_of_it_is_another_deed():
    """A library system may judge the PIN of a hold that is placed, and not of one that is deleted
    (B74)."""
    deeds = [
        Checkout(),
        Checkout(sc_renewal_policy=True),
        Checkout(no_block=True),
        Checkout(fee_acknowledged=True),
        Checkout(cancel=True),
        Renew(),
        Renew(third_party_allowed=True),
        RenewAll(),
        Hold(),
        Hold(hold_mode="-"),
    ]
    assert len({deed_of(one) for one in deeds}) == len(deeds)
