"""The configuration in force, for the process for HTTP (C131)."""

from __future__ import annotations

import asyncio

from sip2gw.config import Config
from sip2gw.config.passing import pack
from sip2gw.control.messages import AnyAnswer, Configuration, Later


def passed_on(config: Config, reloads: int) -> Later:
    """The answer with `config`, which came into force with the reload of that number.

    It is packed in a thread: a large one takes a while, and terminals do not wait for it.
    """

    def answer() -> AnyAnswer:
        return Configuration(reloads, pack(config))

    return asyncio.get_running_loop().run_in_executor(None, answer)
