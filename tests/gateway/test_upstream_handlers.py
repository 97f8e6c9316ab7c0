"""What terminals in front of a library system are told (B72, B73, C121-C123, C152, C153).

The library system is a fake that says what each test has it say.
"""

import asyncio
from datetime import date

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_63, fields, load, running
from library_fakes import FakeLibrary, put_behind, said

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
