"""The snapshot of a patron is the same as long as the same is answered and known (B72, C121)."""

import pytest
from harness import CONFIG, running
from msgspec.structs import replace

from sip2gw.authentication.snapshots import reading_of, snapshot_kept, snapshot_of
from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.model import CardHere, DoorEntry, Membership, PatronRecord
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import PatronInformationResponse

MANNER = UpstreamManner(
    account="default",
    institution="THERE",
    text=text_encoding("utf-8"),
    facts=FactRules(membership=Fact("PC")),
    knows_fw_b=False,
    aliases=False,
)


def says(patron_identifier="91", **more):
    return PatronInformationResponse(
        patron_identifier=patron_identifier, personal_name="Jan", valid_patron=True, **more
    )


def owes_nothing(**more):
    return says(fee_amount="0.00", patron_status=frozenset(), **more)


async def snapshot(session, number, here, answer):
    reading = reading_of(answer, number, session.terminal.upstream)
    return await snapshot_of(session, reading, here, answer)


@pytest.fixture
async def session(tmp_path):
    async with running(tmp_path, config=CONFIG) as gateway:
        app = gateway.app
        view = app.gateway.site.by_login["kiosk-1"].view
        yield Session(app.gateway.services, replace(view, upstream=MANNER))


async def test_the_same_answer_gives_the_same_snapshot(session):
    answer = says()
    first = await snapshot(session, "91", CardHere(), answer)
    assert first.name == "Jan"
    assert await snapshot(session, "91", CardHere(), answer) is first


async def test_another_answer_or_card_gives_another(session):
    answer = says()
    first = await snapshot(session, "91", CardHere(), answer)
    assert (await snapshot(session, "91", CardHere(), says(fee_amount="1.00"))).fees
    assert (await snapshot(session, "92", CardHere(), answer)).card("92") is not None
    assert first.card("92") is None


async def test_what_our_store_knows_now_counts(session):
    answer = says()
    first = await snapshot(session, "91", CardHere(), answer)
    ours = PatronRecord("91", "", language="nl")
    second = await snapshot(session, "91", CardHere(ours), answer)
    assert (first.language, second.language) == (None, "nl")
    assert await snapshot(session, "91", CardHere(ours), answer) is second


async def test_what_the_lists_say_now_counts(session):
    """B34."""
    answer, bar = says(), DoorEntry("bar", "*", "91")
    first = await snapshot(session, "91", CardHere(), answer)
    second = await snapshot(session, "91", CardHere(None, (bar,)), answer)
    assert (first.door_entries, second.door_entries) == ((), (bar,))
    assert await snapshot(session, "91", CardHere(None, (bar,)), answer) is second


async def test_a_membership_that_is_defined_now_counts(session, monkeypatch):
    answer = says(patron_class="777")
    assert (await snapshot(session, "91", CardHere(), answer)).membership == Membership(
        "777", "777", 0
    )
    adult = Membership("777", "Adult", 3)

    async def defined(code):
        return adult

    monkeypatch.setattr(session.services.backend, "find_membership", defined)
    assert (await snapshot(session, "91", CardHere(), answer)).membership is adult


async def test_another_reading_gives_another(session):
    answer = says(patron_class="201")
    assert (await snapshot(session, "91", CardHere(), answer)).membership is not None
    unmapped = replace(session.terminal, upstream=replace(MANNER, facts=FactRules()))
    session.terminal = unmapped
    assert (await snapshot(session, "91", CardHere(), answer)).membership is None


async def test_a_copy_of_an_answer_begins_with_nothing(session):
    answer = says()
    first = await snapshot(session, "91", CardHere(), answer)
    copy = replace(answer)
    assert copy == answer
    assert await snapshot(session, "91", CardHere(), copy) is not first
    assert await snapshot(session, "91", CardHere(), answer) is first


async def kept_of(session, answer, holder, number="91"):
    """What was made of `answer` is used again."""
    await snapshot(session, number, CardHere(holder), answer)
    return snapshot_kept(session, number, CardHere(holder), answer)


async def test_as_long_as_our_store_gives_the_same_record_nobody_asks_it_for_more(session):
    ours, answer = PatronRecord("91", "", language="nl"), owes_nothing()
    kept = await kept_of(session, answer, ours)
    assert (kept.name, kept.language) == ("Jan", "nl")
    changed = PatronRecord("91", "", language="nl")
    assert snapshot_kept(session, "91", CardHere(changed), answer) is None


async def test_of_whom_our_store_does_not_know_it_is_asked_for_more(session):
    """Their bars, and the definition of their membership."""
    assert await kept_of(session, owes_nothing(), None) is None


async def test_who_may_owe_is_asked_about_each_time(session):
    """What was paid here, and they were not told yet, may be entered by now (C124)."""
    ours = PatronRecord("91", "")
    assert await kept_of(session, says(fee_amount="1.00"), ours) is None
    denied = says(fee_amount="0.00")
    assert denied.patron_status
    assert await kept_of(session, denied, ours) is None


async def test_an_answer_about_another_number_is_looked_up_each_time(session):
    """C151: by now our store may know that number, too."""
    ours = PatronRecord("91", "")
    session.terminal = replace(session.terminal, upstream=replace(MANNER, aliases=True))
    other = owes_nothing(patron_identifier="P1")
    assert await kept_of(session, other, ours) is None


async def test_another_card_or_reading_has_nothing_kept(session):
    ours, answer = PatronRecord("91", ""), owes_nothing()
    assert await kept_of(session, answer, ours) is not None
    assert snapshot_kept(session, "92", CardHere(ours), answer) is None
    session.terminal = replace(session.terminal, upstream=replace(MANNER))
    assert snapshot_kept(session, "91", CardHere(ours), answer) is None
    assert snapshot_kept(session, "91", CardHere(ours), owes_nothing()) is None
