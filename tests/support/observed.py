"""A terminal that is only observed, before a library system that plays a script (B78, C126)."""

from dataclasses import replace

from sip2gw.handlers.rules import UpstreamManner
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.encoding import text_encoding
from sip2gw.serving.site import KnownTerminal
from sip2gw.serving.views import observed

MANNER = UpstreamManner(
    account="east",
    institution="THEIRS",
    text=text_encoding("cp850", " "),
    facts=FactRules(),
    knows_fw_b=False,
    aliases=False,
)


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


def watch_only(app, terminal, library, **manner):
    """From its next login on, `terminal` is answered by `library` alone."""
    services, site = app.gateway.services, app.site
    services.library = library
    known = site.by_name[terminal]
    view = observed(replace(known.view, upstream=replace(MANNER, **manner)))
    site.by_name[terminal] = site.by_login[known.terminal.login] = KnownTerminal(
        known.terminal, view
    )
