"""The reference page and the shipped example follow the models."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference.configuration import configuration_reference
from reference.example import FILE, MARK, example

from sip2gw.config import json_schema, load_config
from sip2gw.config.schema import describe_node, node_at, resolve

ROOT = Path(__file__).parents[2]
ONLY_ID = '[institution]\nid = "HUB"\n'


def every_key(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in {**schema["$defs"], "file": schema}.items():
        for key, node in table.get("properties", {}).items():
            yield f"{name}.{key}", node


def test_every_key_is_described_and_on_the_page() -> None:
    page, schema = configuration_reference(), json_schema()
    for name, node in every_key(schema):
        assert resolve(node, schema).get("description"), name
        key = name.rpartition(".")[2]
        assert f"| `{key}` |" in page or f"[{key}" in page, name


def test_every_key_that_was_promised_exists() -> None:
    """The documented names, with those of C8, C10, C18, C19, C31, C33, C81."""
    promised = {
        "server": """listen workers tls_certificate tls_key tls_client_ca proxy_protocol
            login_timeout_s idle_timeout_s drain_timeout_s max_connections frame_bytes_max
            max_connections_per_address frame_timeout_s resend_limit login_attempts
            tcp_keepalive_s""",
        "store": "url pin_secret_file",
        "admin": "listen token_file",
        "security": "pin_failures_max pin_lock_min login_backoff_s",
        "log": "level format",
        "privacy": "access_log_days refused_payment_days",
        "branches.X": "name hours exceptions max_fee_age_days bar pass timezone upstream",
        "profiles.X": """kind messages encoding terminator error_detection dialect language
            pin_required may_block_patrons personal_fields hide_fields allow_fields
            staff_notices badge_separator fw_b payment_types partial_payment invoiced_payable
            second_checkout checked_in_ok fee_lines accept_character_checksum
            resend_with_sequence date_zone wrong_pin_hides_card renewals_of_authorisers
            relation_titles bk_retention_days family door wise single_fee_payment
            subtotal_payment support_answers observe card_rules""",
        "profiles.X.wise": "open_lines paid_lines all_lines paid_days paid_status separator",
        "profiles.X.door": """mode require_pin require_badges badges minimum_age fees
            when_staffed last_entry_margin_min refuse_as memberships home_branch_only
            require_house_rules capacity refuse_inside direction passage_window_s emergency
            emergency_max_age_h companions upstream_flags""",
        "terminals.X": """profile branch login password password_file password_hash networks
            location expires tls_client_name max_connections upstream""",
        "backend": "kind sip2",
        "backend.sip2": """address login password password_file location institution connections
            timeout_s encoding terminator checksums date_zone tls tls_ca tls_name tls_certificate
            tls_key payment_split login_order login_algorithm keepalive_s payments knows_fw_b
            guards_bk preset aliases messages denials_by_money facts accounts""",
        "backend.sip2.accounts.X": "address login location preset facts",
        "backend.sip2.facts": "birth_date membership_until membership badges home_branch fees",
        "backend.sip2.denials_by_money": "flags af af_not",
    }
    schema = json_schema()
    for table, keys in promised.items():
        node = node_at(schema, table.split("."))
        assert set(keys.split()) <= set(node["properties"]), table


def test_the_schema_tells_secrets_apart() -> None:
    for key in ("password", "password_hash"):
        assert node_at(json_schema(), ["terminals", "X", key])["writeOnly"]


def test_an_unknown_place_is_described_by_nothing() -> None:
    schema = json_schema()
    node = node_at(schema, ["nowhere", 3, "x"])
    assert node == {}
    assert describe_node(node, schema) == "string"


def test_the_example_names_every_key() -> None:
    """Written, or commented out with its default."""
    text = FILE.read_text(encoding="utf-8")
    assert text == example(), "python tests/support/write_reference.py example"
    for name, _ in every_key(json_schema()):
        key = re.escape(name.rpartition(".")[2])
        assert re.search(rf"^(# )?(\[\S*\b{key}\b|{key} =)", text, re.MULTILINE), name


def test_the_defaults_that_the_example_shows_are_the_defaults(tmp_path: Path) -> None:
    """Those of the tables with a fixed name, without the marks of a comment."""
    listed = FILE.read_text(encoding="utf-8").partition(MARK)[2]
    tables = re.findall(r"^# (\[[a-z]+\])\n((?:# .*\n)+)", listed, re.MULTILINE)
    lines = [
        (title, *re.findall(r"^# (\w+ = [^ ].*)", keys, re.MULTILINE)) for title, keys in tables
    ]
    written, nothing = tmp_path / "written.toml", tmp_path / "nothing.toml"
    nothing.write_text(ONLY_ID)
    shown = "\n".join("\n".join(table) for table in lines)
    written.write_text(shown.replace("[institution]\n", ONLY_ID))
    sources = [load_config(path).source.model_dump() for path in (written, nothing)]
    assert sources[0] == sources[1]
    assert shown.count(" = ") > 40


def test_the_shipped_example_is_valid(tmp_path: Path) -> None:
    config = load_config(ROOT / "systemd" / "sip2gw.toml")
    assert {terminal.profile.kind for terminal in config.terminals.values()} == {
        "selfcheck",
        "payment",
        "door",
    }


def test_the_shipped_service_and_example_mean_the_same_places() -> None:
    """C133: the status of the reload is the command's, which finds the socket by the file."""
    unit = (ROOT / "systemd" / "sip2gw.service").read_text(encoding="utf-8")
    config = load_config(ROOT / "systemd" / "sip2gw.toml")
    assert "\nRuntimeDirectory=sip2gw\n" in unit
    assert config.socket_path == Path("/run/sip2gw/sip2gw.control")
    (served,) = re.findall(r"^ExecStart=(\S+) serve --config (\S+)$", unit, re.MULTILINE)
    (reloaded,) = re.findall(r"^ExecReload=(\S+) reload --config (\S+)$", unit, re.MULTILINE)
    assert served == reloaded


def test_the_service_waits_longer_than_the_gateway_drains() -> None:
    unit = (ROOT / "systemd" / "sip2gw.service").read_text(encoding="utf-8")
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None
    drain = node_at(json_schema(), ["server", "drain_timeout_s"])["default"]
    assert int(stop[1]) > drain
    assert "Type=notify" in unit
