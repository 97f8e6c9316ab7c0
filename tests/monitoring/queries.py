"""Just enough of PromQL to see which series a query asks for, and by which labels it sums."""

import re
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(
    r"\b(?P<name>sip2gw_\w+|process_\w+|up)\b(?:\{(?P<matchers>(?:\"(?:[^\"\\]|\\.)*\"|[^}])*)\})?"
)
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<how>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_VARIABLE = re.compile(r"\$\w+|\$\{\w+\}")

OF_THE_SCRAPE = {"job", "instance"}
"""Labels that Prometheus adds to whatever it scrapes."""


@dataclass(frozen=True)
class Matcher:
    """One `label="value"`, also `!=`, `=~` and `!~`."""

    label: str
    how: str
    value: str

    def accepts(self, labels):
        value = labels.get(self.label, "")
        if self.how.endswith("~"):
            found = re.fullmatch(self.value, value) is not None
        else:
            found = value == self.value
        return found is not self.how.startswith("!")


@dataclass(frozen=True)
class Selector:
    """The series of one name whose labels all `matchers` accept."""

    name: str
    matchers: tuple[Matcher, ...]

    def accepts(self, name, labels):
        return name == self.name and all(one.accepts(labels) for one in self.matchers)


def selectors(query):
    """All that `query` asks for; a dashboard's variables stand for everything."""
    return [
        Selector(found["name"], tuple(_matchers(found["matchers"] or "")))
        for found in _SELECTOR.finditer(_VARIABLE.sub(".*", query))
    ]


def _matchers(text):
    return (Matcher(*found.groups()) for found in _MATCHER.finditer(text))


def groupings(query):
    """The labels that `query` sums by or joins on."""
    names = ",".join(_GROUPING.findall(_STRING.sub("", query))).split(",")
    return {name.strip() for name in names} - {"", "le"}
