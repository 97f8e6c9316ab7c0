"""`send --script`: whole dialogues, faults on request, and answers that are checked (C58)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.kiosk.client import Credentials, Kiosk
from sip2gw.cli.kiosk.play import Player
from sip2gw.cli.kiosk.script import Fault, Kind, read_script
from sip2gw.config import Address
from sip2gw.protocol.checksum import split_trailer
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.line.connection import (
    Closed,
    Reply,
    RequestReceived,
    ServerConnection,
)
from sip2gw.protocol.messages import (
    AcsStatus,
    FeePaid,
    FeePaidResponse,
    Login,
    LoginResponse,
    PatronInformation,
    PatronInformationResponse,
    Request,
    Response,
)
from sip2gw.protocol.wire import WireFormat

from .conftest import Run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def answer_to(request: Request) -> Response:
    """What the gateway of these tests says: card 7 is known, everything can be paid."""
    match request:
        case Login():
            return LoginResponse(ok=request.login_password == "hush")
        case PatronInformation(patron_identifier="7"):
            answer = PatronInformationResponse(patron_identifier="7", personal_name="Anna")
            answer.valid_patron = True
            answer.badges = ("ONBE", "CLUB")
            answer.patron_status = frozenset({PatronFlag.EXCESSIVE_FINES})
            answer.screen_message = ("Please pay EUR 5.00.",)
            return answer
        case FeePaid():
            return FeePaidResponse(payment_accepted=True, transaction_id=request.transaction_id)
    refused = request.failure_form("HUB", NOW, ())
    if isinstance(refused, AcsStatus):
        refused.online = True
    return refused


class Gateway:
    """The gateway's side of the conversation, as it really is, with simple handlers."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.handled: list[Request] = []
        self.lines = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.lines += 1
            with line:
                self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        connection = ServerConnection(WireFormat())
        while data := self._received(line):
            self.heard.append(data)
            connection.receive(data)
            while (event := connection.next_event(time.monotonic())) is not None:
                if isinstance(event, Closed):
                    return
                try:
                    if isinstance(event, Reply):
                        line.sendall(event.data)
                    elif isinstance(event, RequestReceived):
                        self.handled.append(event.request)
                        connection.logged_in = True
                        line.sendall(connection.send(answer_to(event.request)))
                except OSError:
                    return

    def _received(self, line: socket.socket) -> bytes:
        try:
            return line.recv(4096)
        except OSError:
            return b""

    def close(self) -> None:
        # Closing alone would not wake accept up.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def handled_as(self, kind: type[Request]) -> list[Request]:
        return [request for request in self.handled if isinstance(request, kind)]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    there = Gateway()
    yield there
    there.close()


@pytest.fixture
def play(sip2gw: Run, gateway: Gateway, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Play a script against the gateway; exit status, what was shown and what was told."""

    def played(script: str, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "try.sip"
        file.write_text(script, encoding="utf-8")
        result = sip2gw(
            "send", "--to", gateway.address, "--login", "k", "--password", "hush",
            "--timeout", "5", "--script", file, *options,
        )  # fmt: skip
        return result.status, result.out, result.err

    return played


Play = Callable[..., tuple[int, str, str]]

GOOD = """\
# A patron, asked in several ways.

63 AA=7 AD=4711 summary=fines      # by code
expect 64 AA=7 AE=Anna BL=Y !CC GL=ONBE GL=CLUB GL!=VIP AF~"EUR 5.00" AF personal_name=Anna
expect 64 patron_status[10]=Y patron_status[0]!=Y patron_status="          Y   "
patron-information "AA=8"
expect 64 BL=N !GL CC=
raw 9900302.00
expect 98 online=Y institution_id=HUB
35 AA=7
"""


def test_a_dialogue_that_goes_as_expected_is_0(play: Play, gateway: Gateway) -> None:
    status, shown, told = play(GOOD)
    assert told == "try.sip: 4 sent, 4 checked, 0 failed\n"
    assert status == 0
    assert "# try.sip:3 patron-information" in shown
    assert "personal name: Anna" in shown
    assert len(gateway.handled_as(PatronInformation)) == 2


def test_b16_no_secret_is_shown_or_told(play: Play) -> None:
    _, shown, told = play("63 AA=7 AD=4711\nexpect 64 AD=4711\n")
    assert "4711" not in shown + told
    assert "hush" not in shown + told
    assert "try.sip:2: AD: not as expected" in told
    assert "4711" not in repr(read_script("63 AD=4711\nexpect 64 AD=4711\nraw 4711", "x", "1"))


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ("64 AE=Bram", "AE=Bram: the answer has 'Anna'"),
        ("64 GL=VIP", "GL=VIP: the answer has 'ONBE', 'CLUB'"),
        ("64 GL!=CLUB", "GL!=CLUB: the answer has 'ONBE', 'CLUB'"),
        ("64 AF~free", "AF~free: the answer has 'Please pay EUR 5.00.'"),
        ("64 !AE", "!AE: the answer has 'Anna'"),
        ("64 XX", "XX: the answer has none"),
        ("64 GL=", "GL=: the answer has 'ONBE', 'CLUB'"),
        ("64 patron_status[0]=Y", "patron_status[0]=Y: the answer has ' '"),
        ("64 patron_status[99]=Y", "patron_status[99]=Y: the answer has none"),
        ("24", "expected 24, got 64"),
        ("nothing", "expected nothing: it answered"),
        ("closed", "expected closed: it answered"),
    ],
)
def test_what_is_not_as_expected_is_told_and_is_1(play: Play, expectation: str, told: str) -> None:
    status, _, err = play(f"63 AA=7\nexpect {expectation}\n63 AA=7\n")
    assert status == 1
    assert err == f"try.sip:2: {told}\ntry.sip: 2 sent, 1 checked, 1 failed\n"


def test_b8_a_wrong_checksum_is_asked_for_again_and_then_sent_right(
    play: Play, gateway: Gateway
) -> None:
    status, shown, told = play(
        "!bad-checksum 63 AA=7\nexpect 96\nresend\nexpect 64 BL=Y\n97\nexpect 64 BL=Y\n"
    )
    assert status == 0, told
    assert "(wrong, should be" in shown
    assert len(gateway.handled_as(PatronInformation)) == 1
    assert gateway.heard[-1].startswith(b"97AZ")


def test_three_wrong_checksums_in_a_row_close_the_line(play: Play) -> None:
    script = "!bad-checksum 63 AA=7\nexpect 96\n" * 3 + "63 AA=7\nexpect closed\nreconnect\n99\n"
    status, _, told = play(script)
    assert status == 0, told


def test_a_split_frame_is_one_request(play: Play, gateway: Gateway) -> None:
    assert play("!split 63 AA=7\nexpect 64 BL=Y\n")[0] == 0
    assert len(gateway.heard) > 4
    assert len(gateway.handled_as(PatronInformation)) == 1


def test_b8_a_lost_answer_is_asked_for_by_the_same_frame(play: Play, gateway: Gateway) -> None:
    status, shown, told = play("!lost 37 AA=7 BV=1.00 BK={run}\nexpect 38 BK={run}\n")
    assert status == 0, told
    assert shown.count("(lost) ←") == 1
    assert len(gateway.handled_as(FeePaid)) == 1, "replayed, not executed again"
    assert gateway.heard[-1] == gateway.heard[-2]


def test_b8_a_frame_that_leaves_twice_is_answered_twice_and_executed_once(
    play: Play, gateway: Gateway
) -> None:
    status, shown, _ = play("!twice 37 AA=7 BV=1.00\nexpect 38 payment_accepted=Y\n")
    assert status == 0
    assert (shown.count("→ 37"), shown.count("← 38")) == (2, 2)
    assert len(gateway.handled_as(FeePaid)) == 1


def test_after_hanging_up_the_same_frame_can_be_sent_on_a_new_line(
    play: Play, gateway: Gateway
) -> None:
    status, shown, told = play(
        "!hang-up 37 AA=7 BV=1.00 BK=T1\nreconnect\nresend\nexpect 38 BK=T1\n"
        "repeat\nexpect 38 BK=T1\n"
    )
    assert status == 0, told
    assert gateway.lines == 2
    assert shown.count("→ 93") == 2, "logged in again"
    frames = [line for line in shown.splitlines() if line.startswith("→ 37")]
    assert frames[0] == frames[1] != frames[2]
    assert frames[0][:-9] == frames[2][:-9], "the same but for AY and AZ"


def test_a_line_that_was_hung_up_wants_reconnect(play: Play) -> None:
    status, _, told = play("!hang-up 63 AA=7\nresend\n")
    assert (status, told) == (1, "sip2gw: try.sip:2: the line is closed; write reconnect first\n")


def test_c58_no_answer_is_a_failure_unless_it_is_expected(play: Play) -> None:
    options = ("--timeout", "0.1", "--institution", "HUB")
    patient = ("--timeout", "1", "--institution", "HUB")
    assert play("raw 77\nexpect nothing\n63 AA=7\n", *patient)[0] == 0
    status, _, told = play("raw 77\n63 AA=7\n", *options)
    assert (status, "try.sip:1: no answer within 0.1 s" in told) == (1, True)
    status, _, told = play("raw 77\nexpect 64\nexpect closed\n", *options)
    assert status == 1
    assert "try.sip:2: no answer within 0.1 s\ntry.sip:3: expected closed: no answer" in told


@pytest.mark.parametrize("first", ["resend", "repeat"])
def test_what_was_never_sent_cannot_be_sent_again(play: Play, first: str) -> None:
    status, _, told = play(first)
    assert (status, told) == (1, "sip2gw: try.sip:1: nothing has been sent yet\n")


def test_without_checksums_there_is_none_to_spoil(play: Play) -> None:
    status, _, told = play("!bad-checksum 63 AA=7\n", "--no-checksum")
    assert (status, told) == (1, "sip2gw: try.sip:1: the message has no checksum to spoil\n")


def test_a_refused_login_ends_the_play(play: Play) -> None:
    status, _, told = play("99\n", "--password", "wrong")
    assert (status, told) == (
        1,
        "sip2gw: the gateway refused the login (940); login_refused in its log has the reason:"
        " correct the password, network or certificate name that it is about\n",
    )


def test_a_script_can_come_from_standard_input_and_log_in_itself(
    sip2gw: Run, gateway: Gateway
) -> None:
    script = b"93 CN=k CO=hush\nexpect 94 ok=1\n"
    result = sip2gw("send", "--to", gateway.address, "--script", "-", stdin=script)
    assert (result.status, result.err) == (0, "-: 1 sent, 1 checked, 0 failed\n")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("expect 64", "1: write expect after the step whose answer it checks"),
        ("wait 1\nexpect 64", "2: write expect after the step whose answer it checks"),
        (
            "!hang-up 99\nexpect 98",
            "2: !hang-up does not wait for an answer, so nothing can be expected",
        ),
        ('63 "AA=7', "1: a quote is never closed"),
        ("!explode 99", "1: no fault !explode; known faults: !bad-checksum, !split, !lost, !twice"),
        ("!lost", "1: write !lost before a request"),
        ("!lost wait 1", "1: !lost: wait sends nothing"),
        ("raw", "1: raw needs the text of a message"),
        ("resend 63", "1: write resend on a line of its own"),
        ("reconnect now", "1: write reconnect on a line of its own"),
        ("99\nexpect closed AA=1", "2: write expect closed on a line of its own"),
        ("wait", "1: wait needs a number of seconds, up to 3600"),
        ("wait soon", "1: wait needs a number of seconds, up to 3600"),
        ("wait 3601", "1: wait needs a number of seconds, up to 3600"),
        ("64", "1: no message '64'; known messages:"),
        ("63 nonsense=1", "1: no field nonsense; known fields:"),
        ("99\nexpect", "2: expect needs the code of an answer: 94, 98"),
        ("99\nexpect 63", "2: expect needs the code of an answer"),
        ("99\nexpect 98 =1", "2: write a check as FIELD=VALUE"),
        ("99\nexpect 98 !AO=1", "2: write a check as FIELD=VALUE"),
        ("99\nexpect 98 nonsense=1", "2: no field nonsense in a 98; known fields: online"),
        ("# nothing\nwait 1", " none of the lines sends anything"),
    ],
)
def test_a_wrong_script_is_refused_before_anything_is_sent(
    sip2gw: Run, tmp_path: Path, script: str, told: str
) -> None:
    (tmp_path / "bad.sip").write_text(script)
    result = sip2gw("send", "--to", "127.0.0.1:1", "--script", tmp_path / "bad.sip")
    assert result.status == 2
    assert result.err.startswith(f"sip2gw: bad.sip:{told}")


def test_all_wrong_lines_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read_script("wait\n99\nexpect\n", "x", "1")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["1", "3"]


def test_a_script_in_another_encoding_and_with_a_message_is_wrong_usage(
    sip2gw: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.sip").write_bytes("35 AA=é".encode("latin-1"))
    result = sip2gw("send", "--to", "127.0.0.1:1", "--script", tmp_path / "bad.sip")
    assert (result.status, "line 1 is not UTF-8" in result.err) == (2, True)
    result = sip2gw("send", "--to", "127.0.0.1:1", "--script", tmp_path / "bad.sip", "99")
    assert (result.status, "not both" in result.err) == (2, True)


def test_words_quotes_comments_and_the_number_of_the_run() -> None:
    steps = read_script('35 AA="a # b" BK=x{run}#1 # "not closed\nwait 0.25\n99', "x", "77")
    assert [step.kind for step in steps] == [Kind.REQUEST, Kind.WAIT, Kind.REQUEST]
    assert steps[0].wanted is not None
    assert steps[0].wanted.values["patron_identifier"] == "a # b"
    assert steps[0].wanted.strange == (("BK", "x77#1"),)
    assert steps[1].seconds == 0.25


def test_every_fault_has_its_title() -> None:
    for fault in Fault:
        (step,) = read_script(f"{fault} raw 9900", "x", "1")
        assert step.title == f"{fault} raw"


# What a real gateway never does -----------------------------------------------------------------


class Line:
    """A line on which everything was said beforehand."""

    def __init__(self, *answers: bytes) -> None:
        self.sent = b""
        self._answers = list(answers)

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self, _size: int) -> bytes:
        return self._answers.pop(0) if self._answers else b""

    def fileno(self) -> int:
        return 3

    def close(self) -> None:
        pass


def played(line: Line, script: str) -> tuple[Player, list[float]]:
    waits: list[float] = []
    here = Address("127.0.0.1", 1)
    kiosk = Kiosk(line, WireFormat(), 1.0, checksums=True, address=here)  # type: ignore[arg-type]  # a stand-in
    player = Player(lambda: kiosk, "x", Credentials("", ""), "HUB", waits.append)
    player.play(read_script(script, "x", "1"))
    return player, waits


@contextmanager
def told(capsys: pytest.CaptureFixture[str], text: str) -> Iterator[None]:
    yield
    assert text in capsys.readouterr().err


def test_a_wrong_checksum_of_the_answer_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with told(capsys, "x:1: the checksum of the answer is wrong"):
        player, _ = played(Line(b"941AY0AZ0000\r"), "93\nexpect 94")
    assert player.score.failures == 1


def test_an_answer_to_an_earlier_request_is_shown_and_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    player, _ = played(Line(b"940AY7AZFDF7\r941AY0AZFDFD\r"), "93\nexpect 94 ok=1")
    assert player.score.failures == 0
    assert "(another AY) ← 940" in capsys.readouterr().out


def test_waits_are_waited_for() -> None:
    line = Line(b"941\r")
    _, waits = played(line, "wait 1.5\n!split raw 9300CN|CO|")
    assert waits[0] == 1.5
    assert len(waits) == 1 + -(-len(line.sent) // 5)
    assert split_trailer(line.sent[:-1]).body == b"9300CN|CO|"


def test_an_answer_without_end_ends_the_play() -> None:
    with pytest.raises(CommandError, match="longer than"):
        played(Line(*[b"x" * 65536] * 17), "99")
