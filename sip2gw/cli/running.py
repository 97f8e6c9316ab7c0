"""`reload` and `drain`: the running gateway is told, and says what became of it (B86, C133)."""

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
"""So long a gateway that has closed everything may take to be gone."""


@contextmanager
def running_gateway(config: Path | None) -> Iterator[Control]:
    """A connection to the gateway that runs on this configuration.

    Raises:
        UsageError: no configuration is named.
        CommandError: there is no gateway, or it does not do what it is asked for.
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
            f"{error}; start it with `sip2gw serve`, or, if it runs, name its socket as"
            " server.socket in the configuration and restart it"
        ) from None
    except RefusedError as error:
        raise CommandError(printable(str(error))) from None


def reload(config: ConfigOption = None) -> None:
    """Let the running gateway read its configuration again; no terminal is disconnected.

    The exit status is that of the reload: with a configuration that is not valid, or that changes
    what a reload may not change, the gateway goes on with what it had, the problems are told and
    the status is 1. What is in force only after a restart is told, too.
    """
    from sip2gw.control.messages import Reload, Reloaded

    with running_gateway(config) as gateway:
        answer = gateway.ask(Reload(), RELOAD_WITHIN_S)
    assert isinstance(answer, Reloaded)
    if answer.problems:
        raise CommandError("\n".join(["reload refused:", *answer.problems]))
    say("sip2gw: reloaded")
    if answer.needs_restart:
        say(f"sip2gw: takes effect from the next start only: {', '.join(answer.needs_restart)}")


def drain(config: ConfigOption = None) -> None:
    """Stop the running gateway, as SIGTERM does, and wait until it is gone.

    It accepts nobody any more, finishes the requests that are running and closes all lines. The
    status is 1 when something took too long and was given up.
    """
    from sip2gw.control.messages import Drain, Drained, Draining

    with running_gateway(config) as gateway, gateway.watching_its_end() as process:
        begun = gateway.ask(Drain(), ANSWER_WITHIN_S)
        assert isinstance(begun, Draining)
        end = gateway.next_answer(begun.within_s)
        if not process.has_ended(LEAVE_WITHIN_S):
            raise CommandError("all is closed, but the process has not ended yet")
    if not isinstance(end, Drained):
        raise CommandError("the gateway ended before it was done; its log may say why")
    if end.given_up:
        raise CommandError(f"took too long and was given up: {', '.join(end.given_up)}")
    say("sip2gw: the gateway has ended")
