"""`reload` and `drain`: instruct the running gateway and report the result (B86, C133)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sip2gw.cli.common import ConfigOption, printable, say
from sip2gw.cli.failures import CommandError, UsageError

if TYPE_CHECKING:
    from sip2gw.control.client import Control

ANSWER_WITHIN_S = 10.0
RELOAD_WITHIN_S = 60.0
"""A configuration with thousands of terminals takes seconds to read."""
LEAVE_WITHIN_S = 5.0
"""How long the process may take to end after it has closed everything."""


@contextmanager
def running_gateway(config: Path | None) -> Iterator[Control]:
    """A connection to the gateway that runs on this configuration.

    Raises:
        UsageError: no configuration is named.
        CommandError: no gateway is running, or it refuses.
    """
    from sip2gw.config.places import find_socket
    from sip2gw.control.client import Control, NoGatewayError, RefusedError

    if config is None:
        raise UsageError("name the configuration with --config FILE or SIP2GW_CONFIG")
    path = find_socket(config)
    try:
        with Control(path) as gateway:
            yield gateway
    except NoGatewayError as error:
        raise CommandError(
            f"{error}; start it with `sip2gw serve`. If it is running, name its socket as"
            " server.socket in the configuration and restart it"
        ) from None
    except RefusedError as error:
        raise CommandError(printable(str(error))) from None


def reload(config: ConfigOption = None) -> None:
    """Let the running gateway read its configuration again. No terminal is disconnected.

    If the configuration is not valid, or changes something that a reload may not change, the
    gateway keeps the old one, the problems are reported, and the exit status is 1. Settings that
    take effect only after a restart are reported too.
    """
    from sip2gw.control.messages import Reload, Reloaded

    with running_gateway(config) as gateway:
        answer = gateway.ask(Reload(), RELOAD_WITHIN_S)
    assert isinstance(answer, Reloaded)
    if answer.problems:
        raise CommandError("\n".join(["the gateway refused the reload:", *answer.problems]))
    say("sip2gw: reloaded")
    if answer.needs_restart:
        say(
            "sip2gw: restart the gateway to put these into effect:"
            f" {', '.join(answer.needs_restart)}"
        )


def drain(config: ConfigOption = None) -> None:
    """Stop the running gateway, as SIGTERM does, and wait until it has ended.

    The gateway accepts no new connections, finishes the requests in progress and closes all lines.
    The exit status is 1 when something took too long and was abandoned.
    """
    from sip2gw.control.messages import Drain, Drained, Draining

    with running_gateway(config) as gateway, gateway.watching_its_end() as process:
        begun = gateway.ask(Drain(), ANSWER_WITHIN_S)
        assert isinstance(begun, Draining)
        end = gateway.next_answer(begun.within_s)
        if not process.has_ended(LEAVE_WITHIN_S):
            raise CommandError(
                "the gateway has closed everything, but its process has not ended yet"
            )
    if not isinstance(end, Drained):
        raise CommandError(
            "the gateway ended before it had finished; look in its log for the reason"
        )
    if end.given_up:
        raise CommandError(f"took too long and was abandoned: {', '.join(end.given_up)}")
    say("sip2gw: the gateway has ended")
