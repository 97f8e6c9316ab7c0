"""What makes sense to ask `explain` (B70)."""

import pytest

from sip2gw.policy.explaining.asking import Message, Wanted, WrongQuestionError

LOAN, RETURN, STATUS = Message.CHECKOUT, Message.CHECKIN, Message.PATRON_STATUS


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("kiosk-1", "1001"),
        Wanted("kiosk-1", "1001", STATUS, "2026-03-10 12:00", address="10.0.0.1"),
        Wanted("kiosk-1", "1001", LOAN, item="I1"),
        Wanted("kiosk-1", "1001", item="I1"),
        Wanted("kiosk-1", message=RETURN, item="I1", address="::1"),
    ],
)
def test_what_a_terminal_could_ask_makes_sense(wanted):
    wanted.insist()


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted("kiosk-1", "1001", LOAN), "--message 11 needs --item"),
        (
            Wanted("kiosk-1", "1001", STATUS, item="I1"),
            "--message 23 is about no item; leave --item",
        ),
        (Wanted("kiosk-1", "1001", address="here"), "--address here is no IP address"),
        (Wanted("kiosk-1", "1001", at="soon"), "--at soon: not a date"),
        (Wanted("kiosk-1"), "--card is needed for every message but 09"),
        (Wanted("kiosk-1", message=LOAN, item="I1"), "--card is needed for every message but 09"),
    ],
)
def test_what_makes_no_sense_is_told_in_the_words_of_who_asks(wanted, why):
    with pytest.raises(WrongQuestionError, match=why):
        wanted.insist(lambda name: f"--{name}")


def test_the_card_is_in_no_log():
    assert "1001" not in repr(Wanted("kiosk-1", "1001"))
