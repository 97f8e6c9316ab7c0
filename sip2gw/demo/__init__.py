"""The demo: a small, lively library with terminals of every kind, and dialogues to try."""

from sip2gw.demo.dialogues import DIALOGUES, Dialogue
from sip2gw.demo.library import PEOPLE, Person, library_records
from sip2gw.demo.site import TERMINALS, DemoTerminal, configuration

__all__ = [
    "DIALOGUES",
    "PEOPLE",
    "TERMINALS",
    "DemoTerminal",
    "Dialogue",
    "Person",
    "configuration",
    "library_records",
]
