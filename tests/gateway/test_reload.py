"""What a reload may change (B66, C113): all keys of the file, by their marks."""

import gc
import json
from typing import Any

import pytest
from harness import CONFIG, ask_37, running

from sip2gw.config import (
    Config,
    ConfigFile,
    json_schema,
    reload_marks,
)
from sip2gw.config.tables.sections import (
    AdminSection,
    InstitutionSection,
    PrivacySection,
    SecuritySection,
)
from sip2gw.config.tables.server import ServerSection
from sip2gw.config.types import RELOAD

pytestmark = pytest.mark.no_cover

MARKS = reload_marks()

CHANGED = {
    "institution.id": "OTHER",
    "institution.name": "Other",
    "institution.currency": "JPY",
    "institution.timezone": "Europe/Lisbon",
    "institution.language": "fr",
    "store.url": "sqlite:other.db",
    "store.password": "x",
    "store.password_file": "secret",
    "store.spool_file": "other.spool",
    "store.pin_secret_file": "secret",
    "server.listen": ["127.0.0.1:1"],
    "server.workers": None,
    "server.tls_certificate": None,
    "server.tls_key": None,
    "server.tls_client_ca": None,
    "server.tls_minimum": "1.3",
    "server.socket": "other.control",
    "server.proxy_protocol": True,
    "server.proxy_networks": ["10.0.0.0/8"],
    "server.login_timeout_s": 61.0,
    "server.idle_timeout_s": 61.0,
    "server.drain_timeout_s": 61.0,
    "server.request_timeout_s": 6.0,
    "server.terminal_timeout_s": 11.0,
    "server.terminal_retries": 4,
    "server.status_before_login": False,
    "server.tcp_keepalive_s": 61.0,
    "server.max_connections": 61,
    "server.max_connections_per_address": 61,
    "server.frame_bytes_max": 600,
    "server.frame_timeout_s": 61.0,
    "server.resend_limit": 4,
    "server.login_attempts": 4,
    "admin.enabled": False,
    "admin.listen": "127.0.0.1:1",
    "admin.token": None,
    "admin.token_file": None,
    "admin.tokens": None,
    "relationships.enabled": False,
    "relationships.types": ["authorisation"],
    "backend.kind": None,
    "backend.sip2": None,
    "security.pin_failures_max": 6,
    "security.pin_lock_min": 16.0,
    "security.terminal_pin_failures_max": 51,
    "security.terminal_pin_window_min": 16,
    "security.failing_answer_slot_s": 0.25,
    "security.login_backoff_s": 2.0,
    "log.level": "debug",
    "log.format": "json",
    "privacy.access_log_days": 31,
    "privacy.refused_payment_days": 91,
    "privacy.loan_history_days": 31,
    "privacy.support_days": 731,
    "privacy.ended_patron_days": 366,
    "privacy.review_days": 366,
    "badges.expiry_notice_days": 30,
    "privacy.outbox_days": 91,
    "privacy.audit_days": 366,
    "support.enabled": False,
    "outbox.smtp": None,
    "outbox.smtp_tls": "tls",
    "outbox.smtp_login": None,
    "outbox.smtp_password_file": None,
    "outbox.sender": "other@example.org",
    "outbox.webhook": "https://example.org/in",
    "outbox.webhook_token_file": None,
    "outbox.retry_max_h": 24,
    "outbox.texts": None,
    "texts": {"en": {"old_protocol": "Too old."}},
    "branches": None,
    "profiles": None,
    "terminals": None,
}
"""Another valid value for each key; None where this version knows no other, where it is valid only
together with another key, or where other tests change it: branches, profiles and terminals in
`test_session`."""


def with_change(key):
    """The harness's configuration with `key` set to another value, as TOML."""
    value: Any = CHANGED[key]
    table, _, name = key.rpartition(".")
    lines, inside, out = CONFIG.splitlines(), False, []
    if not table:
        (language, texts), *_ = value.items()
        ((text, said),) = texts.items()
        return f"{CONFIG}\n[{key}.{language}]\n{text} = {json.dumps(said)}\n"
    for line in lines:
        if line.startswith("["):
            inside = line == f"[{table}]"
        if not (inside and line.startswith(f"{name} =")):
            out.append(line)
    written = json.dumps(value)
    if f"[{table}]" not in out:
        return "\n".join([*out, f"[{table}]", f"{name} = {written}", ""])
    at = out.index(f"[{table}]") + 1
    return "\n".join([*out[:at], f"{name} = {written}", *out[at:], ""])


async def reloaded(gateway, text):
    """The event of a reload of `text`."""
    path = gateway.app.config.path
    path.with_name("secret").write_text("ab" * 32)
    path.write_text(text)
    await gateway.app.reload()
    return [line for line in gateway.logged() if line["event"].startswith("reload_")][-1]


def test_every_key_of_the_file_is_looked_at_here():
    assert set(CHANGED) == set(MARKS)
    assert set(MARKS.values()) == {None, "restart", "refused"}


def _marks_of(node, schema):
    """Keys and marks as the schema has them, found by another way than `reload_marks`."""
    for key, part in node["properties"].items():
        target = schema["$defs"].get(part.get("$ref", "").rpartition("/")[2])
        if target is not None and RELOAD not in part:
            yield from ((f"{key}.{name}", mark) for name, mark in _marks_of(target, schema))
        else:
            yield key, part.get(RELOAD)


def test_the_schema_shows_the_same_marks():
    schema = json_schema()
    assert dict(_marks_of(schema, schema)) == MARKS


def test_money_and_identity_are_never_changed_by_a_reload():
    assert [key for key, mark in MARKS.items() if mark == "refused"] == [
        "institution.id",
        "institution.currency",
        "store.url",
        "store.pin_secret_file",
        "backend.kind",
    ]


KEYS = [key for key, value in CHANGED.items() if value is not None]


@pytest.fixture
def only_of_this_test():
    """`gc` knows nothing of what was there before: that is much, and takes long to look through.

    Nor does it afterwards (`tests/conftest.py`).
    """
    gc.collect()
    gc.freeze()


@pytest.mark.usefixtures("only_of_this_test")
@pytest.mark.parametrize("key", KEYS)
async def test_each_key_is_refused_or_waits_or_takes_effect(tmp_path, key):
    async with running(tmp_path, records=()) as gateway:
        before = gateway.app.config
        event = await reloaded(gateway, with_change(key))
        if MARKS[key] == "refused":
            assert event["event"] == "reload_failed"
            (problem,) = event["problems"]
            assert f": {key}: a reload cannot change this key" in problem
            assert gateway.app.config is gateway.app.gateway.site.config is before
            return
        assert event["event"] == "reload_done", event
        assert event["needs_restart"] == ([key] if MARKS[key] == "restart" else [])
        del before
        _nothing_runs_on_the_old_one(gateway)


def _nothing_runs_on_the_old_one(gateway):
    """Whatever reads a key, reads it from the new configuration: the old one is not held."""
    gc.collect()
    there = gc.get_objects()
    new = gateway.app.config
    assert gateway.app.gateway.site.config is new
    kept = {
        ConfigFile: new.source,
        InstitutionSection: new.institution,
        ServerSection: new.server,
        AdminSection: new.admin,
        SecuritySection: new.security,
        PrivacySection: new.privacy,
    }
    for kind, current in kept.items():
        defaults = [field.default for field in ConfigFile.model_fields.values()]
        held = [it for it in there if type(it) is kind]
        assert [thing for thing in held if thing is not current and thing not in defaults] == []
    configs = [it for it in there if type(it) is Config]
    assert configs == [new]
    assert gateway.app.gateway.services.texts is gateway.app.gateway.site.texts
    rules, security = gateway.app._pins.rules, new.security
    assert (rules.failures_max, rules.terminal_failures_max) == (
        security.pin_failures_max,
        security.terminal_pin_failures_max,
    )


async def test_what_needs_a_restart_is_named_by_each_reload_until_it_is_put_back(gateway):
    moved = with_change("server.listen")
    for text in (moved, moved.replace("Hub Library", "New Library")):
        gateway.app.config.path.write_text(text)
        await gateway.app.reload()
    assert gateway.app.config.institution.name == "New Library"
    await reloaded(gateway, CONFIG)
    events = [line for line in gateway.logged() if line["event"] == "reload_done"]
    assert [event["needs_restart"] for event in events] == [
        ["server.listen"],
        ["server.listen"],
        [],
    ]


async def test_a_reload_to_another_currency_changes_nothing_at_all(gateway):
    pay = await gateway.terminal("pay-1")
    text = with_change("institution.currency").replace("Hub Library", "New Library")
    event = await reloaded(gateway, text)
    assert event["event"] == "reload_failed"
    assert "institution.currency" in event["problems"][0]
    assert "AMHub Library|" in await pay.ask("9900302.00")
    answer = await pay.ask(ask_37("1004", "2", pin="1004", fee="D2", bk="K1"))
    assert answer.startswith("38Y")
    assert "EUR 2.00 has been paid." in answer
    in_yen = ask_37("1004", "2", pin="1004", bk="K2", currency="JPY")
    assert (await pay.ask(in_yen)).startswith("38N")
    (payment,) = gateway.store.payments()
    assert (payment.amount, payment.currency) == (200, "EUR")
    assert gateway.store.self_check() == []
