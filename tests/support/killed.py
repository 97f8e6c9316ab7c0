"""A gateway that kills itself with SIGKILL at some step of a payment through a library system.

    python tests/support/killed.py REPORT SEED LIFE serve --config FILE

is `sip2gw serve`. As long as REPORT is there, it lives for LIFE steps at most; which one was the
last is added to REPORT.
"""

import os
import random
import signal
import sys
from pathlib import Path


def program(report, seed, life):
    """What Python runs instead of `-m sip2gw`."""
    return (str(Path(__file__)), str(report), str(seed), str(life))


def main():
    from sip2gw import cli
    from sip2gw.backend.shares import SharedPayments
    from sip2gw.backend.sql.money import shares
    from sip2gw.backend.upstream.line import Line

    report, seed = Path(sys.argv.pop(1)), sys.argv.pop(1)
    left = random.Random(f"{seed} {os.getpid()}").randint(1, int(sys.argv.pop(1)))

    def perhaps(step):
        nonlocal left
        left -= 1
        if left == 0 and report.exists():
            with report.open("a") as file:
                file.write(f"{step}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner, name, before, after):
        work = getattr(owner, name)

        async def stepped(self, *args, **kwargs):
            perhaps(before)
            result = await work(self, *args, **kwargs)
            perhaps(after)
            return result

        setattr(owner, name, stepped)

    def inside(name, step):
        work = getattr(shares, name)

        def stepped(*args, **kwargs):
            result = work(*args, **kwargs)
            perhaps(step)
            return result

        setattr(shares, name, stepped)

    write = Line._write

    def written(self, data):
        write(self, data)
        if bytes(data[:2]) == b"37":
            perhaps("sent_37")

    Line._write = written  # type: ignore[method-assign]
    inside("begin", "intent_not_committed")
    inside("end", "end_not_committed")
    around(SharedPayments, "begin_shares", "before_intent", "intent_durable")
    around(SharedPayments, "end_share", "answer_come", "end_durable")
    cli.main()


if __name__ == "__main__":
    main()
