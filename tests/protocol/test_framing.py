"""From bytes to frames (B3)."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.errors import FrameTooLongError
from sip2gw.protocol.line.framing import FrameBuffer


def frames_of(stream: bytes, size: int, limit: int = 100) -> list[bytes | str]:
    buffer = FrameBuffer(limit)
    found: list[bytes | str] = []
    for start in range(0, len(stream), size):
        buffer.feed(stream[start : start + size])
        try:
            while (frame := buffer.next_frame()) is not None:
                found.append(frame)
        except FrameTooLongError:
            return [*found, "too long"]
    return found


def test_line_ends_in_any_mix_and_junk_before_a_frame() -> None:
    stream = b"\0 \n97\r99\n\r\n\r23\r\r\n\n  \0941\r\npart"
    assert frames_of(stream, len(stream)) == [b"97", b"99", b"23", b"941"]


@given(
    st.lists(
        st.sampled_from([b"97", b"\r", b"\n", b"\r\n", b"\0", b" ", b"x" * 10, b"23 a|"]),
        max_size=30,
    ).map(b"".join),
    st.integers(1, 12),
    st.integers(1, 15),
)
def test_chunking_never_changes_the_frames(stream: bytes, size: int, limit: int) -> None:
    assert frames_of(stream, size, limit) == frames_of(stream, len(stream) or 1, limit)


@pytest.mark.parametrize("stream", [b"x" * 101, b"x" * 101 + b"\r", b"97\r" + b"x" * 200])
def test_a_frame_over_the_limit_is_an_error_complete_or_not(stream: bytes) -> None:
    assert frames_of(stream, 7)[-1] == "too long"


def test_a_frame_at_the_limit_passes() -> None:
    assert frames_of(b"x" * 100 + b"\r", 7) == [b"x" * 100]


def test_leading_junk_alone_is_no_partial_frame() -> None:
    buffer = FrameBuffer()
    buffer.feed(b"\r\n \0")
    assert not buffer.partial
    buffer.feed(b"9")
    assert buffer.partial
    assert buffer.next_frame() is None
    assert buffer.partial
    buffer.feed(b"7\r")
    assert buffer.next_frame() == b"97"
    assert not buffer.partial


def test_frames_that_arrive_before_the_first_is_taken_wait_in_their_order() -> None:
    buffer = FrameBuffer()
    for arrived in (b"97\r", b"99\r", b"23", b"\r"):
        buffer.feed(arrived)
        assert buffer.partial
    assert [buffer.next_frame() for _ in range(4)] == [b"97", b"99", b"23", None]
    assert not buffer.partial


def test_what_waits_takes_no_more_room_than_it_needs() -> None:
    buffer = FrameBuffer()
    buffer.feed(b"9" * 8_000)
    assert buffer.next_frame() is None
    buffer.feed(b"\r" + b"x" * 9_000)
    assert buffer.next_frame() == b"9" * 8_000
    room = sys.getsizeof(buffer._data)
    buffer.trim()
    assert room > 17_000
    assert sys.getsizeof(buffer._data) < 9_100
    with pytest.raises(FrameTooLongError):
        buffer.next_frame()


def test_what_waits_is_not_changed() -> None:
    buffer = FrameBuffer()
    buffer.feed(b"97\r9")
    assert buffer.next_frame() == b"97"
    assert buffer.next_frame() is None
    buffer.trim()
    buffer.feed(b"9\r")
    assert buffer.next_frame() == b"99"
