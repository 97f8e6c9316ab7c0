"""Every message is whole: a handler, a refusal, a page with examples that a gateway still gives
(B2). That each is read and written byte for byte is in `tests/wire`."""

import re
from datetime import UTC, datetime

import pytest
from pages import DIRECTORY, claims, exchanges, pages, played, with_tables

from sip2gw.config.tables.profiles import ProfileTable
from sip2gw.handlers import SUPPORTED_CODES
from sip2gw.policy.reasons import CirculationReason, PaymentRefusalReason
from sip2gw.protocol.registry import REQUESTS

OF_THE_LINE = {"93", "97"}
"""Answered by the gateway and the connection themselves."""
NEVER_SHOWN = {"system", "unknown_outcome", "upstream"}
"""Reasons that take a broken store, or a library system behind the gateway."""
RENEW = "renew it with: python tests/support/pages.py"
each_page = pytest.mark.parametrize("code", sorted(REQUESTS))


def page(code):
    return pages()[code].read_text()


@each_page
def test_every_request_has_handler_refusal_page_and_example(code):
    request = REQUESTS[code]
    assert code in SUPPORTED_CODES | OF_THE_LINE
    refused = request().failure_form("HUB", datetime.now(UTC), ("no",))
    assert type(refused) is request.response
    played = {(asked[:2], told[:2]) for asked, told in exchanges(page(code))}
    assert (code, request.response.code) in played


@each_page
def test_every_page_has_the_same_parts(code):
    parts = re.findall(r"^## (.*)$", page(code), re.MULTILINE)
    assert parts == [
        "Fields",
        "When it is refused",
        "Example",
        "Options that change it",
        "Where we differ from the standard",
    ]


@each_page
def test_the_tables_are_those_of_the_declarations(code):
    assert with_tables(page(code)) == page(code), RENEW


@each_page
async def test_a_gateway_answers_as_the_page_says_and_for_the_reason_it_gives(code, tmp_path):
    said, reasons = await played(page(code), tmp_path)
    assert said == page(code), RENEW
    if code == "97":
        return  # what the line repeats by itself is not in the log
    claimed = claims(page(code))
    assert [asked for asked, _ in claimed] == [asked for asked, _ in reasons]
    for (asked, claim), (_, reason) in zip(claimed, reasons, strict=True):
        assert claim in ("", reason), asked


def test_every_reason_is_shown_on_some_page():
    shown = {claim for code in REQUESTS for _, claim in claims(page(code))}
    known = {str(reason) for kind in (CirculationReason, PaymentRefusalReason) for reason in kind}
    assert known - NEVER_SHOWN <= shown


@pytest.mark.parametrize("key", ProfileTable.model_fields)
def test_every_key_of_a_profile_is_told_where_it_changes_a_message(key):
    told = "".join(path.read_text() for path in DIRECTORY.glob("*.md"))
    assert f"`{key}`" in told or f"[profiles.X.{key}]" in told


def test_the_index_lists_every_page():
    index = (DIRECTORY / "README.md").read_text()
    assert sorted(re.findall(r"\]\(([0-9]{2}-[a-z-]+\.md)\)", index)) == sorted(
        path.name for path in pages().values()
    )
