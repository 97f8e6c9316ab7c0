"""All commands in one tree, and one place that turns failures into exit statuses."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from sip2gw import __version__
from sip2gw.cli.common import say
from sip2gw.cli.failures import Failure, failure_of
from sip2gw.cli.tree import Commands, helps

PIPE_CLOSED_STATUS = 1


class _Commands(TyperGroup):
    """The top of the tree: every command runs inside `invoke`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast("Any", Commands())

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List what there is, without making it."""
        with formatter.section("Commands"):
            formatter.write_dl(helps())

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; an expected failure becomes a sentence and an exit status."""
        try:
            result = super().invoke(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(PIPE_CLOSED_STATUS) from None
        except typer.Exit:
            raise  # a good end, such as that of `--help`; nobody need look for its cause
        except Exception as error:
            if isinstance(error, typer.BadParameter):
                error.message = error.message.removeprefix("Value error, ")
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
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
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
