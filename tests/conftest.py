"""What holds for all tests.

Each call of the program in a process of the tests would build the tree of all its commands anew,
which takes ten times as long as what most commands do. Here it is built once, as in a shell's call.
"""

from functools import cache

import typer.main
import typer.testing

typer.main.get_command = cache(typer.main.get_command)
typer.testing._get_command = typer.main.get_command  # type: ignore[attr-defined]
