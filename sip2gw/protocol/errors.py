"""What can go wrong between bytes and messages. No error text quotes the wire (B16)."""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of everything that the protocol ring raises on purpose."""


class UnknownMessageError(ProtocolError):
    """The command is not one of ours; a terminal gets no answer to it (B2)."""

    def __init__(self) -> None:
        super().__init__("unknown command")


class UnreadableError(ProtocolError):
    """The fixed block of the known `command` cannot be read; answered in failure form (B2)."""

    def __init__(self, command: str) -> None:
        super().__init__(f"the fixed block of message {command} cannot be read")
        self.command = command


class UnclearVerdictError(ProtocolError):
    """An answer says neither yes nor no, so nobody knows what was done (B46)."""

    def __init__(self) -> None:
        super().__init__("neither yes nor no")


class StrangeAnswerError(ProtocolError):
    """What came cannot be the answer to what was asked last."""

    def __init__(self) -> None:
        super().__init__("not an answer to the request")


class AnotherPatronError(ProtocolError):
    """An answer of the right type about the right item, but not about the patron."""

    def __init__(self) -> None:
        super().__init__("an answer about another patron")


class FrameTooLongError(ProtocolError):
    """A frame, or what has come of one so far, is longer than the limit (B3)."""

    def __init__(self, frame_bytes_max: int) -> None:
        super().__init__(f"a frame is longer than {frame_bytes_max} bytes")
