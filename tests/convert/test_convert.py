"""Configurations of other servers come over, and what does not is named (C86)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model

from sip2gw.config import load_config
from sip2gw.config.availability import unavailable
from sip2gw.config.tables.profiles import ProfileTable
from sip2gw.convert import (
    Converted,
    SourceError,
    converted,
    options,
    sipconfig,
)
from sip2gw.convert import option as option_module
from sip2gw.convert.draft import Draft
from sip2gw.convert.option import Option, exists, words
from sip2gw.convert.source import BYTES_MAX
from sip2gw.convert.xml import Element, read_xml
from sip2gw.foundation.hashing import hash_password, verify_password
from sip2gw.foundation.toml import toml_value

ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).parent / "samples"
KOHA, EVERGREEN, EDGE = (
    ("koha.xml",),
    ("evergreen.xml",),
    ("sip2.conf", "tenants.conf", "folio.json"),
)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sipconfig, "hash_password", cheap)


def cheap(password: bytes) -> str:
    return hash_password(password, memory_kib=8, time_cost=1)


def sample(names: tuple[str, ...], institution: str | None = None) -> Converted:
    return converted({name: (SAMPLES / name).read_bytes() for name in names}, institution)


def tables(result: Converted) -> dict[str, Any]:
    return tomllib.loads(result.toml)


def told(result: Converted) -> list[str]:
    return [str(note) for note in result.notes]


def login(attributes: str, inside: str = "", institution: str = 'id="N"') -> Converted:
    """One account of one institution."""
    document = (
        f'<acsconfig><accounts><login id="k" password="p" institution="N" {attributes}>{inside}'
        f"</login></accounts><institutions><institution {institution}/></institutions></acsconfig>"
    )
    return converted({"x.xml": document.encode()})


@pytest.mark.parametrize("names", [KOHA, EVERGREEN, EDGE], ids=lambda names: names[0])
def test_what_comes_out_is_a_configuration(names: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "sip2gw.toml"
    file.write_text(sample(names).toml, encoding="utf-8")
    assert unavailable(load_config(file)) == []


def test_each_account_becomes_a_terminal_that_shares_its_profile() -> None:
    result = sample(KOHA)
    found = tables(result)
    assert list(found["terminals"]) == ["hall-1", "hall-2", "all", "patterns", "nowhere", "long"]
    hall = found["terminals"]["hall-1"]
    assert verify_password(hall.pop("password_hash"), b"rose-garden")
    assert hall == {
        "profile": "NORTH",
        "branch": "NORTH",
        "networks": ["10.1.0.0/16", "127.0.0.1/32"],
        "max_connections": 0,
    }
    assert found["terminals"]["hall-2"]["profile"] == "NORTH"
    assert found["profiles"]["NORTH"] == {
        "kind": "selfcheck",
        "payment_types": ["00", "01", "02"],
        "encoding": "utf-8",
        "terminator": "CR",
        "accept_offline": True,
        "overdues_block_checkout": True,
        "lend_with_attachment": False,
    }
    assert found["profiles"]["NORTH-2"]["hide_fields"] == ["BD", "BE"]
    assert found["profiles"]["NORTH-2"]["allow_fields"] == ["AF", "AE"], "hiding wins there"
    assert found["institution"] == {"id": "NORTH", "name": "North Library"}
    assert found["server"] == {
        "login_timeout_s": 50,
        "tcp_keepalive_s": 45,
        "listen": ["127.0.0.1:0"],
        "idle_timeout_s": 86400,
        "terminal_timeout_s": 10,
        "terminal_retries": 5,
    }


def test_what_an_institution_forbids_its_terminals_may_not_send() -> None:
    found = tables(sample(KOHA))
    assert not {"11", "29", "65"} & set(found["profiles"]["SOUTH"]["messages"])
    assert "37" in found["profiles"]["SOUTH"]["messages"]
    evergreen = tables(sample(EVERGREEN))["profiles"]["valley"]
    assert not {"01", "15", "19", "25", "37"} & set(evergreen["messages"])
    assert "payment_types" not in evergreen
    assert evergreen["encoding"] == "ascii"


def test_edge_gives_profiles_and_the_library_but_no_terminals() -> None:
    found = tables(sample(EDGE))
    assert found["institution"] == {
        "id": "dune",
        "name": "Dune Library",
        "timezone": "America/New_York",
        "currency": "USD",
        "language": "en",
    }
    assert found["profiles"]["kiosk-1"] == {
        "kind": "selfcheck",
        "messages": ["09", "11", "15", "17", "19", "23", "25", "35", "63", "99"],
        "pin_required": True,
        "accept_offline": False,
        "error_detection": "mirror",
        "encoding": "latin-1",
        "terminator": "CRLF",
    }
    assert "terminals" not in found
    assert "#     [terminals.kiosk-1]" in sample(EDGE).toml


def test_edge_behind_a_proxy_reads_its_headers_at_each_address() -> None:
    listen = tables(sample(EDGE))["server"]["listen"]
    assert listen
    assert all(entry["proxy"] is True for entry in listen)
    text = b'{"netServerOptions": {"useProxyProtocol": true}, "scTenants": [{"tenant": "dune"}]}'
    alone = converted({"sip2.conf": text})
    assert tables(alone)["server"]["listen"] == [{"address": "127.0.0.1:6001", "proxy": True}]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("account all: allow_empty_passwords: refused: an empty PIN is never valid", KOHA),
        ("account all: disallow_overpayment: refused: an excess amount is refused, never", KOHA),
        ("account empty: password: refused: left out, because it has no usable password", KOHA),
        ("account hall-1: id: another account has this name: left out", KOHA),
        ("account lost|soul: id: a terminal cannot have this name: left out", KOHA),
        ("account nowhere: institution: is not in the file", KOHA),
        ("account patterns: encoding: has no equivalent; known values: utf8, ascii", KOHA),
        ("account patterns: hide_fields: profiles.X.hide_fields does not accept it: String", KOHA),
        ("account patterns: mystery: this option is unknown here", KOHA),
        ("account patterns: screen_msg_regex: only literal texts can be replaced", KOHA),
        ("institution SOUTH: one gateway serves one institution", KOHA),
        ("institution SOUTH: policy timeout: 2.5 s must be more than", KOHA),
        ("listener 8023/tcp: transport: has no equivalent; known values: raw", KOHA),
        ("server-params reverse_lookups: a setting of the other program's process", KOHA),
        ("listener 127.0.0.1:0/tcp: protocol: has no equivalent; known values: sip200", EVERGREEN),
        ("institution valley: supports renew all: must be yes or no", EVERGREEN),
        ("acsTenantConfig alwaysCheckPatronPassword: refused: a wrong PIN refuses", EDGE),
        ("tenant polder: is another library; convert it with --institution", EDGE),
        ("broken: its value is not a JSON object", EDGE),
    ],
)
def test_what_cannot_be_carried_over_is_named_with_the_reason(
    line: str, names: tuple[str, ...]
) -> None:
    result = sample(names)
    assert any(note.startswith(line) for note in told(result)), told(result)
    assert f"# - {line}" in result.toml


def options_in(root: Element) -> Iterator[str]:
    """Every option that a sample sets, in the words of the tables."""
    for account in root.below("accounts", "login"):
        yield from account.attributes
        yield from (child.name for child in account.children)
    for path in (
        ("server-params",),
        ("listeners", "service"),
        ("institutions", "institution"),
        ("institutions", "institution", "policy"),
    ):
        for element in root.below(*path):
            yield from element.attributes
    for config in root.below("institutions", "institution", "implementation_config"):
        yield from (child.name for child in config.children)
        yield from (one.attributes["name"] for one in config.below("options", "option"))
        yield from (one.attributes["name"] for one in config.below("supports", "item"))
    for overrides in (
        *root.below("syspref_overrides"),
        *root.below("accounts", "login", "syspref_overrides"),
    ):
        yield from (child.name for child in overrides.children)
    yield from (child.name for child in root.children)


def test_the_samples_have_every_option_of_the_tables() -> None:
    given = {
        name
        for file in (*KOHA, *EVERGREEN)
        for name in options_in(read_xml((SAMPLES / file).read_bytes()))
    }
    koha = (
        options.ACCOUNT, options.SERVER, options.SERVICE, options.TOP, options.INSTITUTION,
        options.POLICY, options.IMPLEMENTATION, options.OPTIONS, options.PREFERENCES,
    )  # fmt: skip
    assert {option.name for table in koha for option in table} <= given
    assert set(options.SUPPORTS) <= given
    edge = "".join((SAMPLES / file).read_text(encoding="utf-8") for file in EDGE)
    rows = (options.EDGE_MAIN, options.EDGE_NET, options.EDGE_TENANT, options.EDGE_SETTINGS)
    assert [o.name for table in rows for o in table if o.name not in edge] == []


def test_every_option_of_the_samples_is_carried_or_named() -> None:
    """Whatever of the account `all` is not in its profile stands among the notes."""
    root = read_xml((SAMPLES / "koha.xml").read_bytes())
    account = next(one for one in root.below("accounts", "login") if one.attributes["id"] == "all")
    result = sample(KOHA)
    profile = tables(result)["profiles"]["NORTH-2"]
    named = {note.name for note in result.notes if "account all" in note.places}
    names = {*account.attributes, *(child.name for child in account.children)}
    silent = names - named - {"id", "password", "institution", "syspref_overrides"}
    rows = {option.name: option for option in options.ACCOUNT}
    as_here = {"delimiter", "error-detect", "cv_triggers_alert", "cr_item_field"}
    carried = {rows[name].key.rpartition(".")[2] for name in silent - as_here}
    assert carried <= set(profile)


def test_one_reason_is_told_once_for_all_accounts() -> None:
    accounts = "".join(
        f'<login id="k{n}" password="p" institution="N" activity_as="x"/>' for n in range(5)
    )
    result = converted(
        {
            "x": f'<acsconfig><accounts>{accounts}</accounts><institutions><institution id="N"/>'
            f"</institutions></acsconfig>".encode()
        }
    )
    (line,) = [line for line in told(result) if "activity_as" in line]
    assert line.startswith("account k0, account k1, account k2 and 2 more: activity_as: ")


def test_b16_no_password_is_in_what_comes_out() -> None:
    for names in (KOHA, EVERGREEN, EDGE):
        result = sample(names)
        shown = result.toml + "".join(told(result)) + repr(result.notes)
        for secret in ("rose-garden", "tulip", "every-option", "apple", "pear", "orchid"):
            assert secret not in shown
    assert "rose" not in repr(read_xml((SAMPLES / "koha.xml").read_bytes()))
    assert "argon" not in repr(Draft(tables={("x",): {"password_hash": "$argon2id$"}}))


def test_other_institutions_and_tenants_can_be_the_library() -> None:
    assert tables(sample(KOHA, "SOUTH"))["institution"]["id"] == "SOUTH"
    found = tables(sample(EDGE, "polder"))
    assert found["institution"]["id"] == "polder"
    assert found["profiles"]["kiosk-1"]["encoding"] == "utf-8"


def test_the_options_of_an_account_come_over() -> None:
    found = tables(sample(KOHA))["profiles"]["NORTH-2"]
    assert {name: found[name] for name in found if name not in ("kind", "payment_types")} == {
        "encoding": "ascii",
        "terminator": "CRLF",
        "accept_offline": True,
        "hide_fields": ["BD", "BE"],
        "allow_fields": ["AF", "AE"],
        "template_ae": "{name} ({card})",
        "template_av": "{description} {amount}",
        "template_da": "{name}",
        "rewrite_screen_texts": [{"find": "Greetings from Koha.", "replace": "Welcome."}],
        "custom_patron_fields": [{"field": "XP", "template": "{membership_until}"}],
        "custom_item_fields": [
            {"field": "XZ", "template": "{shelf}"},
            {"field": "XI", "template": "{author}: {title}"},
        ],
        "convert_control_characters": "_",
        "show_home_branch": True,
        "show_owed_amount": True,
        "show_checkin_message": True,
        "blocked_material_types": ["REF", "MAP"],
        "overdues_block_checkout": True,
        "lost_block_checkout": 2,
        "confirm_previously_borrowed": True,
        "lend_with_attachment": True,
        "in_house_material_types": ["NEWS"],
        "in_house_memberships": ["201"],
        "due_date_format": "library",
        "sort_bins": [
            {
                "branch": "NORTH",
                "field": "material",
                "comparator": comparator,
                "value": "BK",
                "bin": sort_bin,
            }
            for comparator, sort_bin in (("eq", "1"), ("ne", "2"))
        ],
        "checked_in_ok": True,
        "refuse_checkin": ["reserved"],
        "capture_holds": False,
        "send_ct": "always",
        "cv_on_success": True,
        "write_off_payment_type": "06",
        "register_id": "3",
    }
    assert tables(sample(EVERGREEN))["profiles"]["valley"]["hold_as_transit"] is True


def test_who_asks_about_earlier_loans_has_them_remembered() -> None:
    result = sample(KOHA)
    assert tables(result)["privacy"] == {"loan_history_days": 365}
    assert "# From now on, loans are kept for 365 days: set" in result.toml
    for value in ("", "0"):
        silent = login(f'prevcheckout_block_checkout="{value}"')
        assert "privacy" not in tables(silent)


@pytest.mark.parametrize(
    "line",
    [
        "ae_field_template: profiles.X.template_ae does not accept it: template_ae needs personal_",
        "da_field_template: profiles.X.template_da does not accept it: unknown placeholder {title}",
        "custom_item_field: profiles.X.custom_item_fields does not accept it: already has a",
        "inhouse_patron_categories: profiles.X.in_house_memberships does not accept it: String",
        "sort_bin_mapping: must have the form branch:field:comparator:value:bin",
    ],
)
def test_an_option_that_contradicts_a_rule_here_stays_behind(line: str) -> None:
    """Nor does a template show what `personal_fields` would not (B30)."""
    assert any(note.startswith(f"account patterns: {line}") for note in told(sample(KOHA)))


def test_two_rows_that_do_not_fit_together_do_not_both_come_over() -> None:
    result = login(
        "",
        '<item_field field="XI" code="barcode"/><custom_item_field field="XI" template="a"/>',
    )
    assert tables(result)["profiles"]["N"]["custom_item_fields"] == [
        {"field": "XI", "template": "{item}"}
    ]
    assert any("custom_item_fields names a field twice" in line for line in told(result))


def test_a_key_that_appears_makes_its_row_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the configuration lacks a key the row only names it."""
    row, draft = Option("their_name", "profiles.X.our_name"), Draft()
    assert draft.read_all("account k: ", (row,), {"their_name": "x"}, "unknown") == {}
    (note,) = draft.notes
    assert str(note).startswith("account k: their_name: its key profiles.X.our_name does not exist")
    grown = create_model("Grown", __base__=ProfileTable, our_name=(str, Field(default="")))
    monkeypatch.setitem(option_module._TABLES, "profiles.X", (grown, {"kind": "selfcheck"}))
    found = draft.read_all("account k: ", (row,), {"their_name": "x"}, "unknown")
    assert found == {"profiles.X.our_name": "x"}


def test_a_table_in_a_list_is_written_in_one_line() -> None:
    assert toml_value([{"branch": "N", "field": "item"}]) == '[{ branch = "N", field = "item" }]'


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("*:6001/tcp", ["0.0.0.0:6001"]),
        ("6001", ["0.0.0.0:6001"]),
        ("[::1]:6001/tcp", ["[::1]:6001"]),
    ],
)
def test_ports_are_addresses(raw: str, value: list[str]) -> None:
    assert options.port(raw) == value


READS: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (options.template, "[% patron.surname %], [%- patron.firstname -%]", "{name}"),
    (options.template, "[% patron.firstname %] [% patron.surname %]!", "{name}!"),
    (options.template, "{[% item.barcode %]}", "{{{item}}}"),
    (options.template, '[% x.amountoutstanding | format("%.2f") %]', "{amount}"),
    (options.item_fields, [{"field": "X", "code": "a"}], [{"field": "X", "template": "{a}"}]),
    (options.rewriting, [{"find": "Hi.", "replace": ""}], [{"find": "Hi.", "replace": ""}]),
    (options.sort_rules, "N:a:eq:b:1\nN:a:ne:c:2\n", 2),
    (options.sort_rules, [{"text": " N:a:eq:b:1 "}], 1),
    (
        options.sort_rules,
        ":location:<=:7:2",
        [{"branch": "*", "field": "shelf", "comparator": "le", "value": "7", "bin": "2"}],
    ),
    (words, "BD, BE|PB~PC", ["BD", "BE", "PB", "PC"]),
    (options.line_end, "\r", "CR"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "raw", "value"), READS)
def test_values_are_read(read: Callable[[Any], Any], raw: Any, value: Any) -> None:
    found = read(raw)
    assert (len(found) if isinstance(value, int) else found) == value


def test_where_nothing_is_said_the_other_servers_habits_are_kept() -> None:
    koha = tables(login(""))["profiles"]["N"]
    assert (koha["encoding"], koha["terminator"]) == ("utf-8", "CRLF")
    evergreen = tables(login("", institution='id="N" implementation="OpenILS::SIP"'))
    assert evergreen["profiles"]["N"]["encoding"] == "ascii"
    assert "terminator" not in evergreen["profiles"]["N"]


def test_login_and_password_may_have_the_names_of_kohas_database() -> None:
    document = (
        '<acsconfig><accounts><login login_id="k" login_password="hush" institution="N"/>'
        '</accounts><institutions><institution id="N"/></institutions></acsconfig>'
    )
    result = converted({"x": document.encode()})
    assert verify_password(tables(result)["terminals"]["k"]["password_hash"], b"hush")
    assert told(result) == []


def test_an_element_written_as_an_attribute_is_named() -> None:
    assert "account k: sort_bin_mapping: is an element, not an attribute" in told(
        login('sort_bin_mapping="N:a:eq:b:1"')
    )


# Files that somebody else has written -----------------------------------------------------------

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE acsconfig [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<acsconfig><timeout>&b;</timeout></acsconfig>"""
OUTSIDE = b"""<!DOCTYPE acsconfig [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<acsconfig><timeout>&x;</timeout></acsconfig>"""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BOMB, "has a document type declaration (DTD), which is not allowed; remove it"),
        (OUTSIDE, "has a document type declaration (DTD), which is not allowed; remove it"),
        (b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>', "has a document type declaration"),
        (b"<acsconfig><timeout>&x;</timeout></acsconfig>", "is not XML: line 1: undefined entity"),
        (b"<acsconfig>", "is not XML: line 1: no element found"),
        (b"", "is not XML: line 1: no element found"),
        (b"\xff\xfe\x00", "is not XML: line 1:"),
        (b'<?xml version="1.0" encoding="klingon"?><x/>', "is not XML: "),
        (b"<a>" * 40 + b"</a>" * 40, "has elements more than 32 deep"),
        (b"<x>" + b" " * BYTES_MAX, "is larger than"),
        (b"<config/>", "is not a SIPconfig.xml: the top element is config, not acsconfig"),
        (b"<acsconfig/>", "has no institution that can be the library here; it has: none"),
        (b"{", "is not JSON: line 1:"),
        (b'{"a": ' + b"[" * 100_000, "is not readable JSON"),
        (b'{"a": "\xff"}', "is not UTF-8 at byte 7"),
        (b"{" + b" " * BYTES_MAX, "is larger than"),
        (b"{}", "has no scTenants"),
        (
            b'{"scTenants": [{"tenant": "a b"}, 7]}',
            "has no tenant  that can be the library here; it has: a b",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        converted({"their.conf": data})
    assert str(caught.value).startswith(f"their.conf: {reason}")
    assert "\n" not in str(caught.value)


def test_an_unknown_institution_names_those_that_are() -> None:
    with pytest.raises(SourceError, match=r"no institution 'WEST'; it has: NORTH, SOUTH"):
        sample(KOHA, "WEST")


def test_two_xml_files_at_a_time_are_refused() -> None:
    with pytest.raises(SourceError, match="only the JSON files"):
        sample((*KOHA, *EVERGREEN))


def test_other_files_are_never_opened() -> None:
    document = (
        b'<acsconfig xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="more.xml"/>'
        b'<institutions><institution id="N"/></institutions></acsconfig>'
    )
    result = converted({"x": document})
    assert told(result) == ["include more.xml: other files are never opened; paste its content in"]
    assert "write the terminals yourself" in result.toml


ATTRIBUTES = st.dictionaries(
    st.sampled_from([option.name for option in options.ACCOUNT]),
    st.sampled_from(["1", "0", "", "CR", "utf8", "AF,AE", "06", "[% a.b %]", "[% IF %]"])
    | st.text(
        st.characters(
            codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
        )
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(ATTRIBUTES, st.text("NS.-_ é|\"'\\#\x7f", max_size=25))
def test_whatever_stands_there_what_comes_out_is_valid(
    attributes: dict[str, str], institution: str
) -> None:
    """`converted` reads its own result as a configuration; here it must not complain."""
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    named = f"id={quoteattr(institution)}"
    document = (
        f"<acsconfig><accounts><login {named} password={quoteattr(institution)} institution='N'"
        f" {text}/></accounts><institutions><institution id='N'/><institution {named}/>"
        "</institutions></acsconfig>"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sipconfig, "hash_password", cheap)
        result = converted({"x": document.encode()})
    tomllib.loads(result.toml)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([o.name for o in (*options.EDGE_TENANT, *options.EDGE_SETTINGS)]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(JSONS, JSONS, JSONS)
def test_whatever_json_stands_there_what_comes_out_is_valid(a: Any, b: Any, c: Any) -> None:
    tenant = {**(a if isinstance(a, dict) else {"scSubnet": a}), "tenant": "t"}
    document = {
        "scTenants": [tenant, b],
        "netServerOptions": b,
        "configs": c,
        **(c if isinstance(c, dict) else {"port": c}),
    }
    tomllib.loads(converted({"x": json.dumps(document).encode()}).toml)


# The page -----------------------------------------------------------------------------------------


PAGE = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")


def test_every_row_is_on_the_page_and_has_a_key_or_a_reason() -> None:
    for name, table in vars(options).items():
        if name.isupper() and isinstance(table, tuple) and isinstance(table[0], Option):
            for row in table:
                assert row.name.replace("|", "\\|") in PAGE, row.name
                assert row.key or row.why, row.name


def test_a_key_of_today_has_its_default_on_the_page() -> None:
    assert exists("profiles.X.encoding")
    assert '| `profiles.X.encoding` | `"cp850"` |' in PAGE


@pytest.mark.parametrize(
    ("policy", "supports", "accepts"),
    [
        ("true", "true", True),
        ("true", "false", False),
        ("false", "true", False),
        ("false", "false", False),
    ],
)
def test_off_line_is_accepted_unless_evergreen_denies_it_in_either_place(
    policy: str, supports: str, accepts: bool
) -> None:
    """C106."""
    text = (SAMPLES / "evergreen.xml").read_text()
    text = text.replace('offline="false"', f'offline="{policy}"')
    text = text.replace('operation" value="false"', f'operation" value="{supports}"')
    found = tables(converted({"evergreen.xml": text.encode()}))
    assert found["profiles"]["valley"]["accept_offline"] is accepts
