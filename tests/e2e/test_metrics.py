"""What a real process tells Prometheus (B67, C23, C74): names, types and closed labels."""

import asyncio
import re

from harness import CONFIG, LIBRARY, ask_23, ask_37, ask_63
from prometheus_client.parser import text_string_to_metric_families

from sip2gw.monitoring.metrics import WORKER_ENDS
from sip2gw.protocol.registry import REQUESTS

NAMES = {
    "connections": "gauge",
    "requests_total": "counter",
    "request_seconds": "histogram",
    "access_decisions_total": "counter",
    "payments_total": "counter",
    "payment_amount_total": "counter",
    "payments_refused_amount_total": "counter",
    "fee_limit_lifted_total": "counter",
    "frames_rejected_total": "counter",
    "resends_total": "counter",
    "unknown_fields_total": "counter",
    "logins_total": "counter",
    "pin_locks_total": "counter",
    "terminal_last_message_timestamp_seconds": "gauge",
    "backend_seconds": "histogram",
    "backend_errors_total": "counter",
    "backend_up": "gauge",
    "outcome_unknown": "gauge",
    "config_last_reload_successful": "gauge",
    "config_last_reload_timestamp_seconds": "gauge",
    "terminals_configured": "gauge",
    "store_patrons": "gauge",
    "store_last_import_timestamp_seconds": "gauge",
    "store_disk_free_bytes": "gauge",
    "outbox_waiting": "gauge",
    "outbox_failed": "gauge",
    "clock_steps_total": "counter",
    "support_open": "gauge",
    "support_overdue": "gauge",
    "build_info": "gauge",
}
PROFILES = {"", "kiosk", "cash", "separate", "alone", "desk", "entrance", "facts", "exit"}
TERMINALS = {
    line.removeprefix("[terminals.").rstrip("]")
    for line in CONFIG.splitlines()
    if line.startswith("[terminals.")
}
REASONS = {
    "granted",
    "closed",
    "too_late",
    "unknown_card",
    "card_blocked",
    "card_replaced",
    "wrong_pin",
    "pin_locked",
    "no_badge",
    "membership_expired",
    "status",
    "blocked",
    "under_age",
    "membership_not_allowed",
    "other_branch",
    "fee_limit",
    "fee_age",
    "no_consent",
    "barred",
    "full",
    "already_inside",
    "system",
}
LABELS = {
    ("sip2gw_worker_restarts", "reason"): set(WORKER_ENDS),
    ("sip2gw_connections", "profile"): PROFILES,
    ("sip2gw_requests", "message"): set(REQUESTS),
    ("sip2gw_requests", "profile"): PROFILES,
    ("sip2gw_requests", "outcome"): {"ok", "refused", "error"},
    ("sip2gw_request_seconds", "message"): set(REQUESTS),
    ("sip2gw_access_decisions", "branch"): {"MAIN", "SHUT", ""},
    ("sip2gw_access_decisions", "decision"): {"granted", "refused"},
    ("sip2gw_access_decisions", "reason"): REASONS,
    ("sip2gw_access_decisions", "mode"): {"normal", "emergency", "facts"},
    ("sip2gw_payments", "outcome"): {"booked", "replayed", "refused", "unknown"},
    ("sip2gw_payments", "relation"): {"own", "head_of_family", "authorisation"},
    ("sip2gw_payment_amount", "currency"): {"EUR"},
    ("sip2gw_payments_refused_amount", "currency"): {"EUR", "other"},
    ("sip2gw_payment_amount", "payment_type"): {"00", "01", "02"},
    ("sip2gw_frames_rejected", "reason"): {
        "too_long",
        "stalled",
        "checksum",
        "unreadable",
        "unknown_message",
        "not_logged_in",
        "not_allowed",
    },
    ("sip2gw_resends", "kind"): {"requested_by_terminal", "requested_by_us", "replayed"},
    ("sip2gw_logins", "outcome"): {"ok", "refused"},
    ("sip2gw_connections_refused", "reason"): {
        "total",
        "address",
        "strangers",
        "network",
        "proxy",
        "header",
    },
    ("sip2gw_tls_handshake_failures", "reason"): {
        "not_tls",
        "version",
        "no_certificate",
        "bad_certificate",
        "client_aborted",
        "timeout",
    },
    ("sip2gw_terminal_last_message_timestamp_seconds", "terminal"): TERMINALS,
    ("sip2gw_terminal_replaced", "terminal"): TERMINALS,
    ("sip2gw_terminals_configured", "profile"): PROFILES - {""},
    ("sip2gw_support_open", "type"): {"AU"},
    ("sip2gw_journal_open", "kind"): {"loan", "return"},
    ("sip2gw_backend_errors", "kind"): {
        "unavailable",
        "timeout",
        "conflict",
        "unsupported",
        "bad_answer",
        "bug",
    },
}


async def test_every_name_is_there_from_the_start_with_help_and_type(start):
    async with start(http=True) as gateway:
        status, text = await gateway.http("/metrics")
        assert status == 200
        for name, kind in NAMES.items():
            assert f"# HELP sip2gw_{name} " in text
            assert f"# TYPE sip2gw_{name} {kind}" in text


async def test_the_figures_of_the_store_are_looked_up_by_itself_soon_after_the_start(start):
    patrons = sum(record["kind"] == "patron" for record in LIBRARY)
    async with start(http=True) as gateway, asyncio.timeout(60):
        while True:
            _, text = await gateway.http("/metrics")
            if f"\nsip2gw_store_patrons {patrons}.0\n" in text:
                break
        assert re.search(r"\nsip2gw_store_last_import_timestamp_seconds 1\.\d+e\+09\n", text)
        assert re.search(r"\nsip2gw_store_disk_free_bytes [1-9]", text)


async def _some_of_everything(gateway):
    stranger = await gateway.connect()
    for text in (ask_23("1001"), "ZZjunk", "23short", "9300CNkiosk-1|COwrong|", b"97\r"):
        await stranger.send(text)
    for login in ("kiosk-1", "pay-1", "desk-1", "door-1", "door-shut", "door-nowhere", "door-out"):
        terminal = await gateway.terminal(login)
        for card in ("1001", "1002", "1004", "1007", "1008", "1009", "4711"):
            await terminal.ask(ask_23(card, card))
            await terminal.ask(ask_63(card, "no", extra="XYodd|"))
        await terminal.ask(ask_37("1001", "1.00", pin="1001", fee="T1", bk="X"))
        await terminal.ask(ask_37("1001", "1.00", pin="1001", fee="T1", bk="X"))
        await terminal.ask(ask_37("1001", "1.00", pin="1001", currency="XYZ"))
        await terminal.ask(ask_37("1001", "99.00", pin="1001"))
        await terminal.ask(b"11YN\r")
        await terminal.ask(b"9900302.00AY1AZ0000\r")


async def test_labels_come_from_closed_sets_and_name_no_patron(start):
    async with start(http=True) as gateway:
        await _some_of_everything(gateway)
        _, text = await gateway.http("/metrics")
    shown: dict[tuple[str, str], set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                shown.setdefault((family.name, label), set()).add(value)
    for place, values in shown.items():
        if place in LABELS:
            assert values <= LABELS[place], place
    ours = {place for place in shown if place[0].startswith("sip2gw_")}
    free = {("sip2gw_request_seconds", "le"), ("sip2gw_backend_seconds", "le")}
    free |= {("sip2gw_build", "version"), ("sip2gw_build_info", "version")}
    operations = {("sip2gw_backend_seconds", "operation"), ("sip2gw_backend_errors", "operation")}
    assert ours <= LABELS.keys() | free | operations
    assert {"granted", "closed", "unknown_card", "wrong_pin", "system"} <= shown[
        "sip2gw_access_decisions", "reason"
    ]
