"""A test kiosk that plays a script, with its faults, and checks the answers (`send --script`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from sip2gw.cli.common import say
from sip2gw.cli.failures import CommandError
from sip2gw.cli.kiosk.client import (
    LOGIN_REFUSED,
    Credentials,
    Kiosk,
    LineClosedError,
    NoAnswerError,
    Show,
    show_frame,
)
from sip2gw.cli.kiosk.script import (
    SENDING,
    Expectation,
    Fault,
    Kind,
    Silence,
    Step,
)
from sip2gw.protocol.checksum import checksum_matches, split_trailer
from sip2gw.protocol.fields import COMMAND_WIDTH
from sip2gw.protocol.messages import RequestAcsResend

PIECES_BYTES = 5
PIECES_PAUSE_S = 0.02
"""How `!split` sends: small pieces, far enough apart to travel alone."""

_RESEND = RequestAcsResend.code.encode()


class Score(Struct):
    """How a script went."""

    sent: int = 0
    checks: int = 0
    failures: int = 0


class Player:
    """Plays the steps of one script over one line after another."""

    def __init__(
        self,
        connect: Callable[[], Kiosk],
        name: str,
        credentials: Credentials,
        institution: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        show: Show = show_frame,
    ) -> None:
        """`name` is that of the script, for messages about its lines."""
        self._show = show
        self.score = Score()
        self._connect = connect
        self._name = name
        self._credentials = credentials
        self._institution = institution
        self._sleep = sleep
        self._kiosk: Kiosk | None = None
        self._body = self._frame = b""

    def play(self, steps: list[Step]) -> Score:
        """Play all `steps`; a failed check is reported, and the play goes on.

        Raises:
            CommandError: nobody listens, the login is refused, or the line is closed.
        """
        try:
            self._open()
            for step in steps:
                self._do(step)
        finally:
            self._close()
        return self.score

    def _do(self, step: Step) -> None:
        if step.kind is Kind.WAIT:
            self._sleep(step.seconds)
        elif step.kind is Kind.RECONNECT:
            self._close()
            self._open()
        elif step.kind in SENDING:
            self._exchange(step)

    def _open(self) -> None:
        self._kiosk = self._connect()
        if self._credentials.login:
            frame = self._line.frame_of(self._credentials.request())
            self._show("→", frame, self._line.wire)
            self._line.send(frame)
            if not self._answer(frame).startswith(b"941"):
                raise CommandError(LOGIN_REFUSED)

    def _close(self) -> None:
        if self._kiosk is not None:
            self._kiosk.close()

    @property
    def _line(self) -> Kiosk:
        assert self._kiosk is not None, "play opens the line first"
        return self._kiosk

    def _exchange(self, step: Step) -> None:
        """Send what `step` says and judge what comes back."""
        sys.stdout.write(f"\n# {self._name}:{step.line} {step.title}\n")
        if self._line.closed:
            raise CommandError(
                f"{self._name}:{step.line}: the line is closed; write reconnect first"
            )
        self.score.sent += 1
        frame = self._frame_of(step)
        answers: list[bytes] = []
        silence: CommandError | None = None
        try:
            answers.extend(self._send(step, frame))
        except (NoAnswerError, LineClosedError) as error:
            silence = error
            if isinstance(error, LineClosedError):
                self._close()
        if not all(map(_sound, answers)):
            self._failed(step.line, "the checksum of the answer is wrong")
        for expectation in step.expectations:
            self._judge(expectation, answers, silence)
        if not step.expectations and silence is not None:
            self._failed(step.line, str(silence))

    def _frame_of(self, step: Step) -> bytes:
        """The frame to send; remembers what `resend` and `repeat` need."""
        if step.kind is Kind.RESEND:
            return self._remembered(step, self._frame)
        if step.kind is Kind.REPEAT:
            self._frame = self._line.sealed(self._remembered(step, self._body))
            return self._frame
        body = self._body_of(step)
        frame = self._line.sealed(body)
        if not body.startswith(_RESEND):
            self._body, self._frame = body, frame
        return frame

    def _remembered(self, step: Step, what: bytes) -> bytes:
        if not what:
            raise CommandError(f"{self._name}:{step.line}: nothing has been sent yet")
        return what

    def _body_of(self, step: Step) -> bytes:
        wire = self._line.wire
        if step.wanted is None:
            return wire.text.encode(step.raw)
        if step.wanted.needs_institution and self._institution is None:
            self._institution = self._line.institution()
        return step.wanted.body(wire, self._institution or "")

    def _send(self, step: Step, frame: bytes) -> Iterator[bytes]:
        """Send `frame` with the fault of `step`; yields the answers that count."""
        line = self._line
        if step.fault is Fault.BAD_CHECKSUM:
            frame = _spoilt(frame, f"{self._name}:{step.line}")
        self._show("→", frame, line.wire)
        if step.fault is Fault.SPLIT:
            self._write_pieces(frame + line.wire.terminator)
        elif step.fault is Fault.TWICE:
            self._show("→", frame, line.wire)
            line.write((frame + line.wire.terminator) * 2)
            yield self._answer(frame)
        else:
            line.send(frame)
        if step.fault is Fault.HANG_UP:
            line.close()
            return
        if step.fault is Fault.LOST:
            self._answer(frame, arrow="(lost) ←")
            self._show("→", frame, line.wire)
            line.send(frame)
        yield self._answer(frame)

    def _write_pieces(self, data: bytes) -> None:
        for start in range(0, len(data), PIECES_BYTES):
            self._line.write(data[start : start + PIECES_BYTES])
            self._sleep(PIECES_PAUSE_S)

    def _answer(self, sent: bytes, arrow: str = "←") -> bytes:
        """The next answer to `sent`; an answer to an earlier request is only shown."""
        while True:
            answer = self._line.receive()
            if _answers(answer, sent):
                self._show(arrow, answer, self._line.wire)
                return answer
            self._show("(another AY) ←", answer, self._line.wire)

    def _judge(
        self, expectation: Expectation, answers: list[bytes], silence: CommandError | None
    ) -> None:
        self.score.checks += 1
        line = expectation.line
        if expectation.silence is not None:
            expected = NoAnswerError if expectation.silence is Silence.NOTHING else LineClosedError
            if not isinstance(silence, expected):
                self._failed(line, f"expected {expectation.silence}: {silence or 'it answered'}")
            return
        if silence is not None:
            self._failed(line, str(silence))
        for answer in answers:
            for problem in _problems(expectation, answer, self._line):
                self._failed(line, problem)

    def _failed(self, line: int, problem: str) -> None:
        self.score.failures += 1
        say(f"{self._name}:{line}: {problem}")


def _problems(expectation: Expectation, answer: bytes, line: Kiosk) -> Iterator[str]:
    code = answer[:COMMAND_WIDTH].decode("latin-1")
    if code != expectation.code:
        yield f"expected {expectation.code}, got {code}"
        return
    for check in expectation.checks:
        failure = check.failure(split_trailer(answer).body, line.wire)
        if failure is not None:
            yield failure


def _sound(answer: bytes) -> bool:
    trailer = split_trailer(answer)
    return not trailer.digits or checksum_matches(trailer.summed, trailer.digits)


def _answers(answer: bytes, sent: bytes) -> bool:
    """Whether the AY of `answer` fits `sent`; 96 and answers to 97 have none."""
    expected, given = split_trailer(sent).sequence, split_trailer(answer).sequence
    return not expected or given in (b"", expected)


def _spoilt(frame: bytes, where: str) -> bytes:
    """`frame` with a wrong checksum."""
    trailer = split_trailer(frame)
    if not trailer.digits:
        raise CommandError(f"{where}: the message has no checksum to spoil")
    end = len(trailer.summed)
    wrong = b"%04X" % ((int(trailer.digits, 16) + 1) & 0xFFFF)
    return frame[:end] + wrong + frame[end + len(wrong) :]
