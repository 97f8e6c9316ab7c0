"""Every option of Koha, Evergreen and edge-sip2, each in one row: our key, or why there is none.

Names of keys that do not exist yet are proposals. As long as the configuration does not know such a
key, the option is reported as not carried over; once the key exists, the row works.
"""

from __future__ import annotations

import re
from typing import Any

from sip2gw.config.tables.server import ServerSection
from sip2gw.convert.option import (
    AS_HERE,
    NotCarriedError,
    Option,
    always_so,
    by_hand,
    choice,
    filled,
    flag,
    flag_as,
    not_carried,
    number,
    read_encoding,
    refused_when,
    words,
)

# Values with a form of their own ------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"\[%-?\s*(?:[A-Za-z_]+\.)?([A-Za-z_]+)\s*(?:\|\s*format\(\s*['\"]%\.2f['\"]\s*\)\s*)?-?%\]"
)
_WHOLE_NAME = re.compile(r"\{firstname\} +\{surname\}|\{surname\},? +\{firstname\}")
"""Here a name is a single text."""
NAMES = {
    "cardnumber": "card",
    "categorycode": "membership_code",
    "branchcode": "home_branch",
    "dateexpiry": "membership_until",
    "dateofbirth": "birth_date",
    "lang": "language",
    "amountoutstanding": "amount",
    "accountlines_id": "fee",
    "barcode": "item",
    "biblionumber": "title_id",
    "itype": "material",
    "location": "shelf",
    "permanent_location": "shelf",
    "itemcallnumber": "call_number",
    "homebranch": "owner_branch",
    "holdingbranch": "current_branch",
    "materials": "attachment",
}
"""Columns of Koha, and their names in templates and rules here."""
COMPARATORS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_PATTERN = re.compile(r"[\\^$*+?()\[\]{}|]")
_SORT_RULE = re.compile(r"\s*([^:]*):([^:]+):(eq|ne|lt|gt|le|ge|<|>|<=|>=|==|!=):(.*):([^:]+)\s*")


def template(raw: Any) -> Any:
    """Template Toolkit with plain names only: `[% item.barcode %]` is `{item}` here (C86)."""
    literal = str(raw).replace("{", "{{").replace("}", "}}")
    text = _PLACEHOLDER.sub(lambda found: f"{{{_name(found[1])}}}", literal)
    if "[%" in text:
        raise NotCarriedError("only plain names like [% item.barcode %] can be carried over")
    return _WHOLE_NAME.sub("{name}", text) or AS_HERE


def _name(column: str) -> str:
    return NAMES.get(column, column)


def rewriting(raw: Any) -> Any:
    """`screen_msg_regex`: literal find and replace here (C86)."""
    rules = []
    for rule in raw:
        find, replace = rule.get("find", ""), rule.get("replace", "")
        if not find or _PATTERN.search(find):
            raise NotCarriedError("only literal texts can be replaced, no patterns (C86)")
        rules.append({"find": find, "replace": replace})
    return rules


def field_templates(raw: Any) -> Any:
    """`custom_patron_field` and `custom_item_field`: a field and its template."""
    return [
        {"field": one.get("field", ""), "template": template(one.get("template", ""))}
        for one in raw
    ]


def item_fields(raw: Any) -> Any:
    """`item_field`: a field and the column that fills it."""
    return [
        {"field": one.get("field", ""), "template": f"{{{_name(one.get('code', ''))}}}"}
        for one in raw
    ]


def sort_rules(raw: Any) -> Any:
    """`branch:field:comparator:value:bin`, one in each element or line."""
    elements = raw if isinstance(raw, list) else [{"text": raw}]
    texts = [one.get("mapping", one.get("text", "")).strip() for one in elements]
    rules = []
    for line in "\n".join(texts).splitlines():
        match = _SORT_RULE.fullmatch(line)
        if match is None:
            raise NotCarriedError("must have the form branch:field:comparator:value:bin")
        branch, column, comparator, value, sort_bin = match.groups()
        rules.append(
            {
                "branch": branch or "*",
                "field": _name(column),
                "comparator": COMPARATORS.get(comparator, comparator),
                "value": value,
                "bin": sort_bin,
            }
        )
    return rules


def delimiter(raw: Any) -> Any:
    """The standard's delimiter; we have no other."""
    if str(raw).strip() not in ("", "|"):
        raise NotCarriedError("the delimiter is | for every terminal")
    return AS_HERE


def port(raw: Any) -> Any:
    """`*:6001/tcp`, `127.0.0.1:6001` or `6001` as an address to listen on."""
    text = str(raw).strip().partition("/")[0]
    host, _, number_text = text.rpartition(":")
    host = "0.0.0.0" if host in ("", "*", "0") else host  # noqa: S104 -- that is what it says
    return [f"{host}:{number_text}"]


def idle_seconds(raw: Any) -> Any:
    """Seconds; zero means for ever there, and a day here."""
    return number(raw) or 86_400


def tenths(raw: Any) -> float:
    """Tenths of a second, as in a 98; longer than a request may take here (B17)."""
    seconds = number(raw) / 10
    deadline = ServerSection.model_fields["request_timeout_s"].default
    if seconds <= deadline:
        raise NotCarriedError(f"{seconds:g} s must be more than `server.request_timeout_s`")
    return seconds


def networks(raw: Any) -> Any:
    """Networks in CIDR; bits beyond the prefix do not count."""
    import ipaddress

    found = []
    for text in re.split(r"[,\s]+", str(raw).strip()):
        try:
            found.append(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            raise NotCarriedError("is not a network in CIDR notation") from None
    return found


def line_end(raw: Any) -> Any:
    """CR or CRLF, by name or as it is."""
    known = {"CR": "CR", "CRLF": "CRLF", "\r": "CR", "\r\n": "CRLF", "": AS_HERE}
    text = str(raw)
    if text.strip(" ").upper() not in known:
        raise NotCarriedError("answers end in CR or CRLF; every line end is understood")
    return known[text.strip(" ").upper()]


# Koha and Evergreen -------------------------------------------------------------------------------

_MIRRORED = "checksums are mirrored: a terminal that sends them gets them"
_ONE_PROCESS = "one process serves all lines: there are no children to count"
_TO_STDERR = "the log goes to standard error, where systemd keeps it"

ACCOUNT = (
    Option("ae_field_template", "profiles.X.template_ae", template, "plain names only"),
    Option("av_field_template", "profiles.X.template_av", template, "plain names only"),
    Option("da_field_template", "profiles.X.template_da", template, "plain names only"),
    Option(
        "allow_additional_materials_checkout",
        "profiles.X.lend_with_attachment",
        flag,
        "`false` when not said, for Koha",
    ),
    refused_when("allow_empty_passwords", True, "an empty PIN is never valid (B18, C86)"),
    Option("allow_fields", "profiles.X.allow_fields", words),
    Option("hide_fields", "profiles.X.hide_fields", words),
    Option("blocked_item_types", "profiles.X.blocked_material_types", words),
    Option("checked_in_ok", "profiles.X.checked_in_ok", flag),
    Option("convert_nonprinting_characters", "profiles.X.convert_control_characters"),
    Option(
        "cr_item_field",
        "profiles.X.cr_item_field",
        choice(
            collectioncode=AS_HERE,
            ccode=AS_HERE,
            shelvinglocation="shelf",
            location="shelf",
            permanentlocation="shelf",
        ),
        "a collection is the material here",
    ),
    Option("ct_always_send", "profiles.X.send_ct", flag_as("always"), "`always`"),
    Option("cv_send_00_on_success", "profiles.X.cv_on_success", flag),
    always_so("cv_triggers_alert", "there is an alert whenever there is an alert type"),
    Option("delimiter", "", delimiter, "the delimiter is | for every terminal"),
    refused_when(
        "disallow_overpayment",
        False,
        "an excess amount is refused, never taken as credit (B44, C86)",
    ),
    Option("encoding", "profiles.X.encoding", read_encoding),
    always_so("error-detect", _MIRRORED),
    Option("format_due_date", "profiles.X.due_date_format", flag_as("library"), "`library`"),
    Option("holds_block_checkin", "profiles.X.refuse_checkin", flag_as(["reserved"]), "`reserved`"),
    Option("holds_get_captured", "profiles.X.capture_holds", flag),
    Option("inhouse_item_types", "profiles.X.in_house_material_types", words),
    Option("inhouse_patron_categories", "profiles.X.in_house_memberships", words),
    Option("lost_block_checkout", "profiles.X.lost_block_checkout", number),
    not_carried("lost_block_checkout_value", "an item is either lost or not; there are no degrees"),
    not_carried(
        "lost_status_for_missing", "an item of status `missing` is circulation status 13 anyway"
    ),
    Option(
        "overdues_block_checkout",
        "profiles.X.overdues_block_checkout",
        flag,
        "set when not said, for Koha",
    ),
    Option(
        "payment_type_writeoff",
        "profiles.X.write_off_payment_type",
        filled,
        "not taken when not set; 06 there",
    ),
    Option(
        "prevcheckout_block_checkout",
        "profiles.X.confirm_previously_borrowed",
        flag,
        "the item is lent when it is presented again",
    ),
    Option("register_id", "profiles.X.register_id", filled),
    not_carried("seen_on_item_information", "a 17 only reads"),
    Option("send_patron_home_library_in_af", "profiles.X.show_home_branch", flag),
    Option("show_checkin_message", "profiles.X.show_checkin_message", flag),
    Option("show_outstanding_amount", "profiles.X.show_owed_amount", flag),
    Option("terminator", "profiles.X.terminator", line_end, "CRLF when not set, for Koha"),
    Option("screen_msg_regex", "profiles.X.rewrite_screen_texts", rewriting, "literal texts only"),
    not_carried("patron_attribute", "patrons have no attributes of free names here"),
    Option("item_field", "profiles.X.custom_item_fields", item_fields),
    Option("custom_item_field", "profiles.X.custom_item_fields", field_templates),
    Option("custom_patron_field", "profiles.X.custom_patron_fields", field_templates),
    Option("sort_bin_mapping", "profiles.X.sort_bins", sort_rules),
    # Evergreen
    not_carried("location_code", "set `location` in the terminal if the machine sends CP"),
    not_carried("activity_as", "there are no activity types; logs name the terminal"),
    not_carried("enabled", "take a terminal out, or let it `expires`"),
)
"""Attributes and elements of a `login`. `id`, `password` and `institution` make the terminal."""

PREFERENCES = (
    Option("SIP2SortBinMapping", "profiles.X.sort_bins", sort_rules),
    not_carried(
        "SIP2AddOpacMessagesToScreenMessage", "screen texts come from the catalogue, see `texts`"
    ),
    not_carried(
        "AllowItemsOnHoldCheckoutSIP", "an item on hold for another patron is not lent (B56)"
    ),
    not_carried(
        "AllowItemsOnLoanCheckoutSIP", "an item on another patron's card is not lent (B56)"
    ),
    not_carried("HoldCancellationRequestSIP", "a 15 cancels only what it names"),
    not_carried("UseLocationAsAQInSIP", "AQ is the owner's branch (C44)"),
    not_carried("TrackLastPatronActivityTriggers", "the log names who was active"),
    not_carried("AllFinesNeedOverride", "the membership's fee limit decides (B23)"),
    not_carried("UseCashRegisters", "name one in `register_id`"),
)
"""Options in `syspref_overrides`, for all accounts or for one."""

SERVER = (
    not_carried("min_servers", _ONE_PROCESS),
    not_carried("max_servers", _ONE_PROCESS),
    not_carried("min_spare_servers", _ONE_PROCESS),
    not_carried("max_spare_servers", _ONE_PROCESS),
    not_carried("max_requests", _ONE_PROCESS),
    not_carried("personality", _ONE_PROCESS),
    not_carried("log_file", _TO_STDERR),
    not_carried("log_level", "set `log.level`"),
    not_carried("syslog_ident", _TO_STDERR),
    not_carried("syslog_facility", _TO_STDERR),
    not_carried("syslog_logsock", _TO_STDERR),
    not_carried("user", "systemd starts the service as its own user"),
    not_carried("group", "systemd starts the service as its own user"),
    not_carried("setsid", "systemd starts the service"),
    not_carried("pid_file", "systemd starts the service"),
    Option("max-concurrent", "server.max_connections", number),
    always_so("custom_tcp_keepalive", "keepalive is always on"),
    Option("custom_tcp_keepalive_time", "server.tcp_keepalive_s", number),
    not_carried("custom_tcp_keepalive_intvl", "only the idle time before the first probe is set"),
    Option("cidr_allow", "terminals.X.networks", networks, "for each terminal"),
    not_carried("cidr_deny", "`networks` of a terminal lists where it may come from"),
)
"""Attributes of `server-params`."""
UNKNOWN_SERVER = "a setting of the other program's process, which does not exist here"

SERVICE = (
    Option("port", "server.listen", port),
    Option(
        "transport",
        "",
        choice(raw=AS_HERE),
        "raw TCP, or TLS with `server.tls_certificate`; no telnet",
    ),
    Option("protocol", "", choice(sip200=AS_HERE), "SIP 2.00"),
    Option("timeout", "server.login_timeout_s", number),
    Option("client_timeout", "server.idle_timeout_s", idle_seconds, "0 becomes a day"),
)
"""Attributes of a `service` in `listeners`."""

TOP = (
    always_so("error-detect", _MIRRORED),
    Option("delimiter", "", delimiter, "the delimiter is | for every terminal"),
    Option("timeout", "server.login_timeout_s", number),
)
"""Elements and attributes at the top."""

INSTITUTION = (
    Option("name", "institution.name", filled),
    always_so("implementation", "the store is the library"),
    not_carried("parms", "the adapter that they configure does not exist here"),
)

POLICY = (
    Option("checkin", "profiles.X.messages", flag, "without: no 09"),
    Option("checkout", "profiles.X.messages", flag, "without: no 11"),
    Option("renewal", "profiles.X.messages", flag, "without: no 29 and 65"),
    not_carried(
        "status_update",
        "set `may_block_patrons` if a machine must really block cards; there, a"
        " 01 is only answered",
    ),
    Option("offline", "profiles.X.accept_offline", flag),
    Option("timeout", "server.terminal_timeout_s", tenths, "tenths of a second"),
    Option("retries", "server.terminal_retries", number),
)
"""Attributes of `policy` in an institution."""
POLICY_MESSAGES = {"checkin": ("09",), "checkout": ("11",), "renewal": ("29", "65")}

IMPLEMENTATION = (
    Option("currency", "institution.currency", filled),
    Option("encoding", "profiles.X.encoding", read_encoding),
    not_carried("bootstrap", "there is no OpenSRF here"),
    not_carried("legacy_script_support", "rules are settings, not scripts"),
    not_carried("scripts", "rules are settings, not scripts"),
    not_carried("checkin_override", "a refusal follows a rule and cannot be overridden"),
    not_carried("checkout_override", "a refusal follows a rule and cannot be overridden"),
    Option("checkin_hold_as_transit", "profiles.X.hold_as_transit", flag),
)
"""Elements of Evergreen's `implementation_config`."""

OPTIONS = (
    not_carried("login_type", "a terminal is not a user of the library system"),
    Option("due_date_use_sip_date_format", "profiles.X.due_date_format", flag_as("sip2"), "`sip2`"),
    not_carried("patron_status_permit_loans", "flags state the facts, for every terminal"),
    not_carried("patron_status_permit_all", "flags state the facts, for every terminal"),
    Option("allow_sc_status_then_login", "server.status_before_login", flag),
    not_carried("msg64_summary_datatype", "lists begin with the item id (C36)"),
    not_carried("msg64_hold_datatype", "lists begin with the item id (C36)"),
    always_so("msg64_hold_items_available", "AS are the holds that are ready (B28)"),
    not_carried("patron_type_uses_code", "PC is the membership's code"),
    not_carried("patron_calculate_recal", "there are no recalls here"),
    by_hand("av_format", "profiles.X.template_av", "write the text of a fee line as a template"),
    not_carried("support_acs_extensions", "extensions are chosen by `dialect`"),
)
"""`option`s of Evergreen's `implementation_config`."""

SUPPORTS = {
    "patron status request": "23",
    "checkout": "11",
    "checkin": "09",
    "block patron": "01",
    "acs status": "99",
    "login": "93",
    "patron information": "63",
    "end patron session": "35",
    "fee paid": "37",
    "item information": "17",
    "item status update": "19",
    "patron enable": "25",
    "hold": "15",
    "renew": "29",
    "renew all": "65",
}
"""Items of Evergreen's `supports` that are messages."""
SUPPORTS_OPTIONS = (
    Option("offline operation", "profiles.X.accept_offline", flag_as(AS_HERE, False)),
)
"""Those that are settings here."""
SUPPORTS_ELSE = "98 promises what the terminal may do (C25)"

# edge-sip2 ----------------------------------------------------------------------------------------

_FOLIO = "the store is the library; there is no FOLIO behind it"

EDGE_MAIN = (
    Option("port", "server.listen", port),
    not_carried("okapiUrl", _FOLIO),
    not_carried("tenantConfigRetrieverOptions", "one file, read again on SIGHUP"),
    not_carried("healthCheckPort", "`/livez` and `/readyz` are on `admin.listen`"),
    not_carried("sslOptions", _FOLIO),
)
"""Options of the main file; `netServerOptions` has a table of its own."""

EDGE_NET = (
    Option("port", "server.listen", port),
    Option("idleTimeout", "server.idle_timeout_s", idle_seconds, "0 becomes a day"),
    always_so("tcpKeepAlive", "keepalive is always on"),
    always_so("tcpNoDelay", "answers leave at once"),
    Option("useProxyProtocol", "server.proxy_protocol", flag),
    not_carried("ssl", "set `server.tls_certificate` and `server.tls_key`"),
    not_carried("pemKeyCertOptions", "set `server.tls_certificate` and `server.tls_key`"),
    not_carried("pfxKeyCertOptions", "certificates are PEM files: convert it"),
    not_carried("keyStoreOptions", "certificates are PEM files: convert it"),
)
UNKNOWN_EDGE_NET = "a setting of the other program's network library, which does not exist here"

EDGE_TENANT = (
    Option("tenant", "institution.id", filled),
    not_carried("scSubnet", "write it as `networks` of the terminals"),
    Option("port", "server.listen", port),
    not_carried("locationCode", "write it as `location` of the terminals"),
    not_carried("usernamePrefix", "a terminal is found by its login alone"),
    Option("errorDetectionEnabled", "profiles.X.error_detection", flag_as("mirror", "never")),
    Option("messageDelimiter", "profiles.X.terminator", line_end),
    Option("fieldDelimiter", "", delimiter, "the delimiter is | for every terminal"),
    Option("charset", "profiles.X.encoding", read_encoding),
    not_carried("okapiUrl", _FOLIO),
)
"""Of one entry of `scTenants`."""

EDGE_SETTINGS = (
    # acsTenantConfig
    not_carried("statusUpdateOk", "set `may_block_patrons` if a machine must block cards"),
    Option("offlineOk", "profiles.X.accept_offline", flag),
    Option("patronPasswordVerificationRequired", "profiles.X.pin_required", flag),
    always_so("usePinForPatronVerification", "the PIN is always verified"),
    refused_when(
        "alwaysCheckPatronPassword", False, "a wrong PIN refuses in every message (C20, B19)"
    ),
    not_carried("invalidCheckinStatuses", "an item's own status decides (B59)"),
    # selfCheckoutConfig
    Option("retriesAllowed", "server.terminal_retries", number),
    Option("timeoutPeriod", "server.terminal_timeout_s", tenths, "tenths of a second"),
    Option("checkinOk", "profiles.X.messages", flag, "without: no 09"),
    Option("checkoutOk", "profiles.X.messages", flag, "without: no 11"),
    Option("acsRenewalPolicy", "profiles.X.messages", flag, "without: no 29 and 65"),
    Option("libraryName", "institution.name", filled),
    not_carried("terminalLocation", "write it as `location` of the terminals that send it as CP"),
    # localeSettings
    Option("timezone", "institution.timezone", filled),
    Option("currency", "institution.currency", filled),
    Option("locale", "institution.language", lambda raw: str(raw)[:2].lower()),
)
"""Options that edge-sip2 keeps in FOLIO: `acsTenantConfig`, `selfCheckoutConfig.…`,
`localeSettings`. `supportedMessages` has a table of its own.
"""
EDGE_POLICY = {"checkinOk": ("09",), "checkoutOk": ("11",), "acsRenewalPolicy": ("29", "65")}

EDGE_MESSAGES = {
    "PATRON_STATUS_REQUEST": "23",
    "CHECKOUT": "11",
    "CHECKIN": "09",
    "BLOCK_PATRON": "01",
    "SC_ACS_STATUS": "99",
    "REQUEST_SC_ACS_RESEND": "97",
    "LOGIN": "93",
    "PATRON_INFORMATION": "63",
    "END_PATRON_SESSION": "35",
    "FEE_PAID": "37",
    "ITEM_INFORMATION": "17",
    "ITEM_STATUS_UPDATE": "19",
    "PATRON_ENABLE": "25",
    "HOLD": "15",
    "RENEW": "29",
    "RENEW_ALL": "65",
}
"""Names in `supportedMessages`."""

UNKNOWN = "this option is unknown here"

# Wise ---------------------------------------------------------------------------------------------

WISE = (
    Option("terminal can block customers", "profiles.X.may_block_patrons"),
    Option("customer's attention field is sent", "profiles.X.staff_notices"),
    Option("a second loan the same day is a renewal", "profiles.X.second_checkout"),
    Option("block material types (check-out)", "profiles.X.blocked_material_types"),
    Option("lend items with attachment", "profiles.X.lend_with_attachment"),
    Option("refuse items in transport, with a note, …", "profiles.X.refuse_checkin"),
    Option("block material types (check-in)", "profiles.X.refuse_checkin_material_types"),
    Option("refuse items not on loan", "profiles.X.checked_in_ok", why="the other way round"),
    Option(
        "transport for a hold goes to the hold bin", "profiles.X.sort_bins", why="by alert_type"
    ),
    always_so("accept items with attachment", "they are taken back"),
    not_carried("refuse on-the-fly items", "each item has a title"),
    not_carried("ask confirmation via FV", "the terminal's answer is not documented publicly"),
    Option("fixed IP address", "terminals.X.networks"),
    Option("validity of the 2-factor token", "terminals.X.expires"),
)
"""Settings of a Wise SSS profile that have an equivalent; they are not in a file to convert."""
