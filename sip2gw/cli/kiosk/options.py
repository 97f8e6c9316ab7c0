"""Options of `send` and `check --live` about TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls", help="Speak TLS. The gateway's certificate must be for the host that you give."
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="With --tls: certificate of the authority to trust. Default: those of this system.",
    ),
]
CertOption = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", help="With --tls: client certificate to show."),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="With --cert: its key. Default: the one in the same file."
    ),
]
