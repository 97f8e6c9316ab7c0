"""What is laid over a library system's answer about a patron (B72, B30)."""

import pytest
from judged import ask_63, behind
from msgspec.structs import replace

from sip2gw.handlers.patron import PresentedCard
from sip2gw.handlers.upstream.overlay import lay_over
from sip2gw.policy.access import PinState


@pytest.fixture
async def there(tmp_path):
    async with behind(tmp_path) as behind_it:
        yield behind_it


async def test_what_staff_answered_is_added_to_a_copy_of_what_is_kept(there):
    session = there.session()
    shown = replace(session.terminal.presentation, support_answers=True)
    session.terminal = replace(session.terminal, presentation=shown)
    asked = await there.identifier.ask(session, ask_63("91", "1234"))
    record = replace(asked.record, answers=("The lift works again.",))
    presented = PresentedCard("91", record, asked.card, PinState.OK, True, True)

    def told():
        return lay_over(session, asked.response, presented, record, asked.card, for_payment=False)

    first, second = told(), told()
    assert any("The lift works again." in text for text in first.response.screen_message)
    assert first.response is not second.response
    assert (first.written, first.outcome, first.reason, first.card) == (None, "ok", "granted", "91")


async def test_what_nothing_can_be_added_to_is_the_same_but_for_its_date(there):
    session = there.session()
    asked = await there.identifier.ask(session, ask_63("91", "1234"))
    presented = PresentedCard("91", asked.record, asked.card, PinState.OK, True, True)

    def told():
        return lay_over(
            session, asked.response, presented, asked.record, asked.card, for_payment=False
        )

    first, second = told(), told()
    assert first.response is second.response
    assert first.written is second.written is not None
    assert first.response.transaction_date == session.now()
