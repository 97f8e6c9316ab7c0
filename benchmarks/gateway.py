"""The gateway as the benchmarks run it: `python -m benchmarks.gateway CONFIG LOOP [PROFILE]`.

The same `serve` as the command's, on a chosen kind of event loop. On stdout it tells its addresses,
that for terminals and that for HTTP. With PROFILE the loop's thread runs under cProfile, whose
statistics are written there at the end.
"""

from __future__ import annotations

import cProfile
import sys

from sip2gw.config import load_config
from sip2gw.daemon import app


def _tell(sip2: list[str], admin: str) -> None:
    print(sip2[0], admin, sep="\n", flush=True)


def main() -> int:
    """Serve until SIGTERM; the exit status."""
    config, loop, *profile = sys.argv[1:]
    if loop == "asyncio":
        vars(app)["event_loop_factory"] = lambda: None
    if not profile:
        return app.serve(load_config(config), _tell)
    profiler = cProfile.Profile()
    status = profiler.runcall(app.serve, load_config(config), _tell)
    profiler.dump_stats(profile[0])
    return status


if __name__ == "__main__":
    sys.exit(main())
