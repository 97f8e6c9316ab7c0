"""Terminals that are only observed, before a library system that plays a script (B78, C126)."""

import re

from harness import CONFIG

BACKEND = """[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:9"
institution = "THEIRS"
login = "gateway"
password = "secret"
[backend.sip2.accounts.east]
[branches.MAIN]
upstream = "east"
"""
OBSERVED_CONFIG = re.sub(r"(?m)^\[profiles\..*$", r"\g<0>\nobserve = true", CONFIG).replace(
    "[branches.MAIN]\n", BACKEND
)
"""The gateway of `harness`, in which every profile is observed."""


class ScriptedLibrary:
    """Answers each body as `script` says; what it gives may be an error, which is raised."""

    def __init__(self, script):
        self.script = script
        self.heard = []
        """Account, terminal and body of each request."""

    async def pass_on(self, account, terminal, body, lease=None):
        self.heard.append((account, terminal, body))
        answer = self.script(body)
        if isinstance(answer, BaseException):
            raise answer
        return answer
