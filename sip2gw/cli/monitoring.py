"""`dashboard` and `alerts`: what Grafana and Prometheus need to watch gateways (B67)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption, replace_file, write_new

STDOUT = Path("-")
FOR_ALL = 0o644
"""Nothing in these files is secret, and Prometheus runs as another user."""

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="New file to write. Default, or -: standard output."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")]


def dashboard(
    file: FileArgument = None, force: ForceOption = False, config: ConfigOption = None
) -> None:
    """Write a Grafana dashboard (JSON) for all gateways that one Prometheus watches.

    Import it in Grafana; there is nothing to fill in. You choose data source, job and instances at
    the top of the page.
    """
    from sip2gw.monitoring import DASHBOARD

    _deliver(DASHBOARD, file, force)


def alerts(
    file: FileArgument = None, force: ForceOption = False, config: ConfigOption = None
) -> None:
    """Write alert rules (YAML) for Prometheus. Name the file under `rule_files`.

    `Sip2gwDown` expects Prometheus to scrape the gateways as job `sip2gw`. docs/how-to/alerts.md
    says what each alert means and what to do first.
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
