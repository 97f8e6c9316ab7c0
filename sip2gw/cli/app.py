"""All commands in one tree, and one place that turns failures into exit statuses."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sip2gw import __version__
from sip2gw.cli.check import check
from sip2gw.cli.common import say
from sip2gw.cli.convert import convert_config
from sip2gw.cli.demo.command import demo
from sip2gw.cli.explain import explain
from sip2gw.cli.failures import Failure, failure_of
from sip2gw.cli.kiosk.wire import decode, send
from sip2gw.cli.library.badge import badge
from sip2gw.cli.library.data import export_library, import_library
from sip2gw.cli.library.door import door
from sip2gw.cli.library.maintain import maintain
from sip2gw.cli.library.membership import membership
from sip2gw.cli.library.observe import observe
from sip2gw.cli.library.outbox import outbox
from sip2gw.cli.library.patron import patron
from sip2gw.cli.library.payment import payment
from sip2gw.cli.library.relationship import relationship
from sip2gw.cli.library.review import review
from sip2gw.cli.library.support import support
from sip2gw.cli.monitoring import alerts, dashboard
from sip2gw.cli.passwords import hash_password
from sip2gw.cli.running import drain, reload
from sip2gw.cli.serve import serve
from sip2gw.cli.terminal import terminal
from sip2gw.cli.upstream.commands import upstream

PIPE_CLOSED_STATUS = 1


class _Commands(TyperGroup):
    """The top of the tree: every command runs inside `invoke`."""

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; an expected failure becomes a sentence and an exit status."""
        try:
            result = super().invoke(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(PIPE_CLOSED_STATUS) from None
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            _tell(failure)
            raise typer.Exit(failure.status) from None
        return result


def _tell(failure: Failure) -> None:
    for line in failure.lines:
        say(f"sip2gw: {line}")


def _forget_stdout() -> None:
    """Nobody is reading any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="sip2gw",
    cls=_Commands,
    help="SIP2 self-service gateway for libraries: kiosks, doors and payment terminals.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sip2gw {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


app.command()(serve)
app.command()(reload)
app.command()(drain)
app.command()(demo)
app.command()(check)
app.command("import")(import_library)
app.command("export")(export_library)
app.command()(explain)
app.command()(maintain)
app.command()(send)
app.command()(decode)
app.add_typer(patron, name="patron")
app.add_typer(badge, name="badge")
app.add_typer(relationship, name="relationship")
app.add_typer(membership, name="membership")
app.add_typer(payment, name="payment")
app.add_typer(review, name="review")
app.add_typer(support, name="support")
app.add_typer(outbox, name="outbox")
app.add_typer(door, name="door")
app.add_typer(observe, name="observe")
app.add_typer(terminal, name="terminal")
app.add_typer(upstream, name="upstream")
app.command()(dashboard)
app.command()(alerts)
app.command()(convert_config)
app.command()(hash_password)


def _open_standard_descriptors() -> None:
    """Open closed descriptors (`2>&-`) to nowhere, or the next file would take their place."""
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 -- until the end
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 -- until the end


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    _open_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character must not end the command.
            stream.reconfigure(errors="backslashreplace")
    app()
