"""The short forms of `python tests/proofs fuzz`, and the same judged by Hypothesis (B1-B9, C87).

`SIP2GW_EXAMPLES=20000 pytest tests/e2e/test_fuzz.py` runs the full number of examples.
"""

import asyncio
import os
import random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import fuzz
from proofs.dialogues import ALL_BODIES, login, sealed
from proofs.judge import Seen, in_order, read_answer
from proofs.mutations import chunks
from proofs.rig import TERMINALS, rigged

from sip2gw.handlers import HANDLERS, Answer
from sip2gw.protocol.messages import PatronEnableResponse
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.line import TerminalLine

EXAMPLES = int(os.environ.get("SIP2GW_EXAMPLES", "300"))


async def test_spoiled_dialogues_never_break_the_gateway(tmp_path):
    report = await fuzz.fuzz(tmp_path, frames=6_000, seed=7)
    assert report.failures == []
    assert report.numbers["over_sockets"]
    assert {"too_long", "checksum"} <= report.numbers["closed"].keys()


def _twice(line, out, *, write=TerminalLine._write):
    write(line, out * 2)


async def _broken(session, request):
    raise LookupError


@pytest.mark.parametrize(
    "fault",
    [
        patch.object(TerminalLine, "_write", _twice),
        patch.dict(HANDLERS, dict.fromkeys(HANDLERS, _broken)),
        patch.object(Gateway, "refuse", lambda self, *_: Answer(PatronEnableResponse())),
        patch("sip2gw.protocol.line.connection.seal", lambda body, *_: body + b"AY1AZ0000"),
    ],
    ids=["each answer twice", "a bug in every handler", "the wrong response", "a wrong checksum"],
)
async def test_the_proof_notices_a_broken_gateway(tmp_path, fault):
    with fault:
        report = await fuzz.fuzz(tmp_path, frames=200, seed=7)
    assert report.failures


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """One gateway for all examples, with a loop of its own, and a runner of its coroutines."""
    with asyncio.Runner() as runner:
        context = rigged(tmp_path_factory.mktemp("rig"))
        yield runner.run(context.__aenter__()), runner.run
        runner.run(context.__aexit__(None, None, None))


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
BODY = st.sampled_from(ALL_BODIES)
FIELDS = st.lists(
    st.tuples(st.sampled_from(["AA", "AB", "AC", "AD", "BK", "BV", "CG", "FW", "ZZ"]), TEXT),
    max_size=6,
).map(lambda pairs: "".join(f"{tag}{text}|" for tag, text in pairs).encode())
HEAD = st.builds(lambda body, cut: body[: cut or None], BODY, st.integers(0, 60))
FRAME = st.one_of(
    BODY,
    st.builds(lambda head, tail: head + tail, HEAD, FIELDS),
    st.builds(lambda head, tail: head + tail, HEAD, st.binary(max_size=40)),
    st.binary(max_size=80),
)
TRAILED = st.one_of(FRAME, st.builds(sealed, FRAME, st.integers(0, 9)))
END = st.sampled_from([b"\r", b"\r", b"\r", b"\n", b"\r\n", b"\r\r\n", b""])
STREAM = st.lists(st.builds(bytes.__add__, TRAILED, END), max_size=8).map(b"".join)
LOGIN = st.sampled_from(["", *TERMINALS])


@settings(max_examples=EXAMPLES, database=None)
@given(terminal=LOGIN, stream=STREAM, seed=st.integers(0, 1000))
def test_any_bytes_in_any_chunks_are_answered_as_declared(rig, terminal, stream, seed):
    gateway, run = rig
    first = login(terminal) + b"\r" if terminal else b""
    gateway.clock.advance(1)
    outcome = run(gateway.converse(chunks(random.Random(seed), first + stream)))
    assert outcome.problems == []
    assert gateway.faults() == []


@pytest.mark.parametrize(
    ("frames", "codes", "fits"),
    [
        ([b"23...", b"ZZ", b"37..."], [b"24", b"38"], True),
        ([b"23...", b"37..."], [b"38", b"24"], False),
        ([b"23...", b"37..."], [b"24"], False),
        ([b"23..."], [b"24", b"24"], False),
        ([b"23..."], [b"96"], True),
        ([b"ZZ...AZ0000"], [b"96"], True),
        ([b"ZZ"], [b"96"], False),
        ([b"97"], [b"24"], True),
    ],
)
def test_the_judge_tells_an_answer_too_few_too_many_or_misplaced(frames, codes, fits):
    assert in_order(frames, [Seen(code, None, False) for code in codes], closed=False) is fits


@pytest.mark.parametrize(
    "broken",
    [
        b"24",
        b"38Y20260310    120000AOHUB|AA1|AFa\x07b|",
        b"38Y20260310    120000AOHUB|",
        b"38120260310    120000AOHUB|AA1|",
        b"38Y20260310    12000AOHUB|AA1|",
        b"38Y20260310    120000AOHUB|AA1|AF" + b"x" * 256 + b"|",
        b"38Y20260310    120000AOHUB|AA1|AY1AZ0000",
        b"941AY1AZFDFD",
        b"99",
    ],
)
def test_the_judge_tells_a_malformed_answer(broken):
    assert isinstance(read_answer(broken), str)


def test_the_judge_accepts_the_published_examples():
    assert read_answer(b"941AY1AZFDFC") == Seen(b"94", b"1", True)
    assert read_answer(b"96AZFEF6") == Seen(b"96", None, True)
