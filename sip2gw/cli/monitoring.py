"""`dashboard` and `alerts`: what Grafana and Prometheus need to watch gateways (B67)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption, replace_file, write_new

STDOUT = Path("-")
FOR_ALL = 0o644
"""Nothing in these files is secret, and Prometheus runs as somebody else."""

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A new file. Default, like -: standard output."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite FILE.")]


def dashboard(
    file: FileArgument = None, force: ForceOption = False, config: ConfigOption = None
) -> None:
    """Write a Grafana dashboard (JSON) for all gateways that one Prometheus watches.

    Import it in Grafana, which asks for nothing: data source, job and instances are chosen at the
    top of the page.
    """
    from sip2gw.monitoring import DASHBOARD

    _deliver(DASHBOARD, file, force)


def alerts(
    file: FileArgument = None, force: ForceOption = False, config: ConfigOption = None
) -> None:
    """Write alert rules (YAML) for Prometheus; name the file under its `rule_files`.

    `Sip2gwDown` expects the gateways to be scraped as job `sip2gw`. What each alert means, and what
    to do first: docs/how-to/alerts.md.
    """
    from sip2gw.monitoring import ALERTS

    _deliver(ALERTS, file, force)


def _deliver(name: str, file: Path | None, force: bool) -> None:
    from sip2gw.monitoring import text_of

    text = text_of(name)
    if file is None or file == STDOUT:
        sys.stdout.write(text)
    elif force:
        replace_file(file, [text.encode()], mode=FOR_ALL)
    else:
        write_new(file, text, mode=FOR_ALL)
