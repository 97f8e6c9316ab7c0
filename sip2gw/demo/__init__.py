"""The demo: a small, lively library with terminals of every kind, and dialogues to try."""

from sip2gw.demo.dialogues import DIALOGUES, Dialogue
from sip2gw.demo.library import PEOPLE, Person, library_records
from sip2gw.demo.site import (
    TERMINALS,
    DemoTerminal,
    configuration,
    is_demo_configuration,
)

__all__ = [
    "DIALOGUES",
    "PEOPLE",
    "TERMINALS",
    "DemoTerminal",
    "Dialogue",
    "Person",
    "configuration",
    "is_demo_configuration",
    "library_records",
]
