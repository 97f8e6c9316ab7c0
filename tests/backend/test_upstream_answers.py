"""An answer counts only if it is one; after all else the line is never used again (B71, C151)."""

import asyncio

import pytest
from hostile_library import PROMPT, SLOW, HostileLibrary, right_answer, script
from upstream import client_of

from sip2gw.backend.system import BadAnswerError, NoAnswerError
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import (
    Checkout,
    EndPatronSession,
    ItemInformation,
    ItemInformationResponse,
    PatronInformation,
    PatronInformationResponse,
    PatronStatusResponse,
)

STRANGE = set(PROMPT) - {
    "another_item", "hangs_up", "hangs_up_halfway", "ten_late", "twice", "answer_and_more",
}  # fmt: skip
"""What cannot be the answer to a 23."""
PATIENT_S = 30.0
"""For what must not be ended by the deadline, however busy the machine is."""


async def test_the_answer_is_the_patrons_and_what_went_up_is_what_was_asked():
    async with HostileLibrary() as library, client_of(library) as client:
        answer = await client.status("2100")
        assert isinstance(answer, PatronStatusResponse)
        assert answer.patron_identifier == "2100"
        assert answer.personal_name == "Patron 2100"
        assert library.asked == [b"23001" + b" " * 18 + b"AOHUB|AA2100|AC|AD1234|"]
        assert client.outcomes() == {("23", "ok"): 1}


@pytest.mark.parametrize("behaviour", ["right", "resend_once", "much", "pieces"])
async def test_odd_but_right(behaviour):
    async with (
        HostileLibrary(script(behaviour)) as library,
        client_of(library, timeout_s=PATIENT_S) as client,
    ):
        assert (await client.status("2100")).patron_identifier == "2100"
        assert (await client.status("2101")).patron_identifier == "2101"
        assert library.connections == 1


@pytest.mark.parametrize("behaviour", sorted(STRANGE))
async def test_what_is_no_answer_is_thrown_away_with_its_line(behaviour):
    async with (
        HostileLibrary(script(behaviour)) as library,
        client_of(library, timeout_s=PATIENT_S) as client,
    ):
        with pytest.raises(BadAnswerError):
            await client.status("2100")
        assert (await client.status("2101")).patron_identifier == "2101"
        assert library.connections == 2
        assert client.outcomes() == {("23", "bad_answer"): 1, ("23", "ok"): 1}


@pytest.mark.parametrize("behaviour", [*SLOW, "hangs_up", "hangs_up_halfway"])
async def test_who_says_nothing_in_time_is_hung_up_on(behaviour):
    async with (
        HostileLibrary(script(behaviour)) as library,
        client_of(library, timeout_s=PATIENT_S) as client,
    ):
        asking = asyncio.create_task(client.status("2100"))
        await client.until(lambda: library.asked)
        if behaviour in SLOW:
            client.later(PATIENT_S)
        with pytest.raises(NoAnswerError):
            await asking
        await asyncio.sleep(library.late_s if behaviour == "late" else 0)
        assert (await client.status("2101")).patron_identifier == "2101"
        assert library.connections == 2
        assert client.outcomes() == {("23", "no_answer"): 1, ("23", "ok"): 1}


@pytest.mark.parametrize("behaviour", ["twice", "answer_and_more"])
async def test_an_answer_with_more_behind_it_counts_and_its_line_does_not(behaviour):
    async with (
        HostileLibrary(script(behaviour)) as library,
        client_of(library, timeout_s=PATIENT_S) as client,
    ):
        assert (await client.status("2100")).patron_identifier == "2100"
        assert (await client.status("2101")).patron_identifier == "2101"
        assert library.connections == 2


async def test_ten_requests_late_the_sequence_fits_and_the_patron_does_not():
    """The eleventh request has the AY of the first."""
    behaviours = ["right"] * 11 + ["ten_late"]
    async with HostileLibrary(script(*behaviours)) as library, client_of(library) as client:
        for number in range(11):
            await client.status(f"21{number:02}")
        with pytest.raises(BadAnswerError):
            await client.status("2199")
        await client.status("2199")
        assert library.connections == 2


async def test_three_96s_are_heeded_with_the_same_bytes_and_the_fourth_is_one_too_many():
    for count, ends_well in ((3, True), (4, False)):
        behave = script(*["resend_once"] * count)
        async with HostileLibrary(behave) as library, client_of(library) as client:
            if ends_well:
                assert (await client.status("2100")).patron_identifier == "2100"
            else:
                with pytest.raises(BadAnswerError):
                    await client.status("2100")
            frames = [heard.frame for heard in library.heard if heard.code == b"23"]
            assert frames == frames[:1] * 4


async def test_another_item_is_no_answer():
    asked = Checkout(patron_identifier="2100", item_identifier="I1")
    async with HostileLibrary(script("another_item")) as library, client_of(library) as client:
        with pytest.raises(BadAnswerError):
            await client.ask("default", "kiosk", asked)


async def test_blanks_around_a_number_do_not_count_and_an_absent_one_is_not_compared():
    def answer(heard):
        if heard.code == b"35":
            return b"36Y20260102    030405AOHUB|"
        return right_answer(heard).replace(b"AA 2100 |", b"AA2100  |")

    async with HostileLibrary(answer=answer) as library, client_of(library) as client:
        assert (await client.status(" 2100 ")).patron_identifier == "2100"
        await client.ask("default", "kiosk", EndPatronSession(patron_identifier="2100"))
        assert library.connections == 1


async def test_a_request_without_a_patron_takes_what_comes():
    """A 17 has no AA; the answer may name whoever has the item."""

    def answer(heard):
        return right_answer(heard) + b"AA2177|"

    asked = ItemInformation(institution_id="HUB", item_identifier="I1")
    async with HostileLibrary(answer=answer) as library, client_of(library) as client:
        response = await client.ask("default", "kiosk", asked)
        assert isinstance(response, ItemInformationResponse)
        assert response.title_identifier == "Title I1"


async def test_with_aliases_a_patron_may_have_another_number():
    def answer(heard):
        return right_answer(heard, patron=b"2100")

    async with (
        HostileLibrary(answer=answer) as library,
        client_of(library, aliases=True) as client,
    ):
        assert (await client.status("anna")).patron_identifier == "2100"


@pytest.mark.parametrize("said", [b"97AZFEF5\r", b"24 late\r", b"Goodbye\r\n", b"\0"])
async def test_whatever_comes_unasked_ends_the_line(said):
    async with HostileLibrary() as library, client_of(library) as client:
        await client.status("2100")
        await library.say(said)
        await client.until(lambda: not client.state.open)
        assert (await client.status("2101")).patron_identifier == "2101"
        assert library.connections == 2


async def test_line_ends_may_come_when_they_like():
    async with HostileLibrary() as library, client_of(library) as client:
        await client.status("2100")
        await library.say(b"\r\n \n")
        await client.status("2101")
        assert library.connections == 1


async def test_a_body_passes_as_it_is_either_way():
    """No recoding, no known field, no order: only AY and AZ are ours (C126)."""
    body = b"63001" + b" " * 28 + b"AOx|ZZ\xff\x81|AA2100|zz|AD 1 |"
    said = b"64junk that is no fixed block at all " + b" " * 30 + b"AA2100|QQ\xfe||"

    def answer(heard):
        return right_answer(heard) if heard.code in (b"93", b"99") else said

    async with HostileLibrary(answer=answer) as library, client_of(library) as client:
        assert await client.pass_on("default", "kiosk", body) == said
        assert library.asked == [body]


async def test_a_body_is_answered_by_its_own_type_and_patron_and_an_unknown_one_by_anything():
    body = b"23001" + b" " * 18 + b"AOHUB|AA2100|AC|AD|"
    behave = script("another_patron", "wrong_type")
    async with HostileLibrary(behave) as library, client_of(library) as client:
        for _ in range(2):
            with pytest.raises(BadAnswerError):
                await client.pass_on("default", "kiosk", body)
    async with HostileLibrary() as library, client_of(library) as client:
        library.answer = lambda heard: b"ZY whatever"
        assert await client.pass_on("default", "kiosk", b"ZXfoo|AA1|") == b"ZY whatever"
        assert client.outcomes() == {("other", "ok"): 1}


async def test_bytes_that_nobody_knows_come_and_go_unchanged():
    """An account in UTF-8 whose library system says a name in Latin-1 now and then (C153)."""

    def answer(heard):
        return right_answer(heard).replace(b"Patron", b"Ren\xe9 \xc3\xa9")

    asked = PatronInformation(institution_id="HUB", patron_identifier="21\udce900")
    async with (
        HostileLibrary(answer=answer) as library,
        client_of(library, encoding="utf-8") as client,
    ):
        response = await client.ask("default", "kiosk", asked)
        assert isinstance(response, PatronInformationResponse)
        assert response.personal_name == "Ren\udce9 é 21\udce900"
        assert text_encoding("latin-1").encode(response.personal_name) == b"Ren\xe9 \xe9 21\xe900"
        assert b"AA21\xe900|" in library.asked[0]


async def test_nothing_is_cut_that_goes_up():
    long = "9" * 300
    async with HostileLibrary() as library, client_of(library) as client:
        assert (await client.status(long)).patron_identifier == long
