"""From a stream of bytes to frames: one message each, without its line ends (B3)."""

from __future__ import annotations

import re

from sip2gw.protocol.errors import FrameTooLongError
from sip2gw.protocol.fields import LF

FRAME_BYTES_MAX = 8192
"""Default limit of a frame, line end not counted (C31)."""

_JUNK = b"\0 \r\n"
_LEADING_JUNK = re.compile(rb"[\0 \r\n]*")
_LINE_END = re.compile(rb"[\r\n]")


class FrameBuffer:
    """Collects bytes and hands out frames.

    CR, LF and any mix of them end a frame; NUL, blanks and line ends before one are skipped.
    Every byte is looked at a bounded number of times, however finely the stream is chopped.
    """

    __slots__ = ("_data", "_frame_bytes_max", "_searched", "_whole")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._data = bytearray()
        self._searched = 0
        self._whole: bytes | None = None
        """What has arrived, if it is one frame and nothing else, as nearly always: it need not be
        copied into the buffer and out of it again."""

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        if self._whole is not None:
            self._data += self._whole + b"\r"
            self._whole = None
        elif not self._data:
            end = len(data) - 1
            # One frame with a CR after it.
            if (
                0 < end <= self._frame_bytes_max
                and data.find(b"\r") == end
                and data[0] not in _JUNK
                and LF not in data
            ):
                self._whole = data[:end]
                return
        self._data += data

    def next_frame(self) -> bytes | None:
        """The next complete frame, or None until more arrives.

        Raises:
            FrameTooLongError: the next frame is over the limit, complete or not. The buffer is
                of no use afterwards.
        """
        if self._whole is not None:
            frame, self._whole = self._whole, None
            return frame
        data = self._data
        if not self._searched:
            self._skip_junk()
        if not data:
            return None
        found = _LINE_END.search(data, self._searched)
        end = len(data) if found is None else found.start()
        if end > self._frame_bytes_max:
            raise FrameTooLongError(self._frame_bytes_max)
        if found is None:
            self._searched = end
            return None
        frame = bytes(data[:end])
        del data[: end + 1]
        self._searched = 0
        return frame

    @property
    def partial(self) -> bool:
        """Whether a frame has begun but not ended; leading junk alone is not a frame."""
        if not self._data:
            return self._whole is not None
        if not self._searched:
            self._skip_junk()
        return bool(self._data)

    def trim(self) -> None:
        """Keep no room for more than has arrived, and none for what was handed out."""
        self._data = bytearray(self._data)

    def _skip_junk(self) -> None:
        if not self._data or self._data[0] not in _JUNK:
            return
        junk = _LEADING_JUNK.match(self._data)
        assert junk is not None, "the pattern matches the empty string too"
        del self._data[: junk.end()]
