"""Dashboard and alerts ask for what a gateway really exports, and the page knows each alert.

Whether an alert fires when it should is for `promtool` (docs/proofs.md); that each has its test is
looked at here.
"""

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml
from played import metrics_after_dialogues
from prometheus_client.parser import text_string_to_metric_families

from sip2gw.monitoring import ALERTS, DASHBOARD, text_of
from sip2gw.policy.reasons import Reason

from .queries import OF_THE_SCRAPE, Matcher, groupings, selectors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/alerts.md").read_text(encoding="utf-8")
RULES = yaml.safe_load(text_of(ALERTS))["groups"][0]["rules"]
UNIT_TESTS = yaml.safe_load(Path(__file__).with_name("alerts_test.yaml").read_text())["tests"]
BOARD = json.loads(text_of(DASHBOARD))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
QUERIES = [
    *((rule["alert"], rule["expr"]) for rule in RULES),
    *((title, target["expr"]) for title, target in TARGETS),
    *(
        (one["name"], one["definition"])
        for one in BOARD["templating"]["list"]
        if "definition" in one
    ),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Name and labels of all series of a demo after its dialogues were played."""
    text = asyncio.run(metrics_after_dialogues(tmp_path_factory.mktemp("demo")))
    families = text_string_to_metric_families(text)
    series = [(one.name, one.labels) for family in families for one in family.samples]
    return [*series, ("up", {"job": "sip2gw"})]


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=lambda text: text[:40])
def test_each_selector_of_each_query_finds_a_series(exported, where, query):
    """The closed label values (C74) are exported from the start, so a misspelt one finds none."""
    asked = selectors(query)
    assert asked, query
    for one in asked:
        matchers = tuple(
            m for m in one.matchers if m.label not in OF_THE_SCRAPE or one.name == "up"
        )
        wanted = type(one)(one.name, matchers)
        assert any(wanted.accepts(*series) for series in exported), f"{where}: {one}"


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=lambda text: text[:40])
def test_each_label_is_one_that_the_metric_has(exported, where, query):
    had = {
        label
        for one in selectors(query)
        for name, labels in exported
        if name == one.name
        for label in labels
    } | OF_THE_SCRAPE
    for one in selectors(query):
        assert {matcher.label for matcher in one.matchers} <= had, f"{where}: {one}"
        for matcher in one.matchers:
            assert all(_is_exported(exported, one.name, part) for part in _values(matcher)), matcher
    assert groupings(query) <= had, f"{where}: {query}"


def _values(matcher):
    """Each value that a matcher names, looked for by itself: `!~` could hide a misspelt one."""
    if matcher.label in OF_THE_SCRAPE:
        return []
    return [Matcher(matcher.label, "=", value) for value in matcher.value.split("|")]


REASONS_NOT_MET = {"too_late"}
"""Real values that the demo's dialogues do not bring about."""


def _is_exported(exported, name, matcher):
    if matcher.value in REASONS_NOT_MET:
        return matcher.label == "reason" and matcher.value in set(Reason)
    return any(name == other and matcher.accepts(labels) for other, labels in exported)


def test_legends_name_labels_that_are_summed_by():
    for title, target in TARGETS:
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= groupings(target["expr"]) | OF_THE_SCRAPE, title


def test_annotations_name_labels_that_the_alert_keeps():
    for rule in RULES:
        text = " ".join(rule["annotations"].values())
        shown = set(re.findall(r"\$labels\.(\w+)", text))
        assert shown <= (groupings(rule["expr"]) or {"instance"}) | OF_THE_SCRAPE, rule["alert"]


def test_panels_and_alerts_have_names_of_their_own():
    for names in ([panel["id"] for panel in BOARD["panels"]], [rule["alert"] for rule in RULES]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_section_that_says_what_it_means_and_what_to_do_first(rule):
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["runbook"] == f"docs/how-to/alerts.md#{name.lower()}"
    found = re.search(rf"^## {name}\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    assert "**First:**" in found[1]


def test_the_page_has_no_section_of_an_alert_that_is_gone():
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not(rule):
    tests = [one for test in UNIT_TESTS for one in test["alert_rule_test"]]
    fires = {bool(one.get("exp_alerts")) for one in tests if one["alertname"] == rule["alert"]}
    assert fires == {True, False}
