"""From `SIPconfig.xml` (Koha) or `oils_sip.xml` (Evergreen) to a draft of our configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from sip2gw.config.tables.profiles import KIND_DEFAULTS
from sip2gw.convert import options
from sip2gw.convert.draft import Draft, Values, of_table
from sip2gw.convert.option import NotCarriedError, flag, problem_with
from sip2gw.convert.source import SourceError
from sip2gw.convert.upstream import PROFILE_KEYS, Login, stand_before
from sip2gw.convert.xml import Element
from sip2gw.foundation.hashing import hash_password

KIND = "selfcheck"
HISTORY_DAYS = 365
"""Days for which loans are kept for accounts that ask about them; the other server keeps them for
ever.
"""
PAYMENT_TYPES = ["00", "01", "02"]
LOGIN, PASSWORD = ("id", "login_id"), ("password", "login_password")
"""The names in a file, and in Koha's database."""
REPEATED = (
    "screen_msg_regex", "patron_attribute", "item_field", "custom_item_field",
    "custom_patron_field", "sort_bin_mapping",
)  # fmt: skip
"""Elements that may occur several times in a login."""
STRUCTURE = (
    "server-params", "listeners", "accounts", "institutions", "syspref_overrides", "error-detect",
)  # fmt: skip
"""Elements at the top that are not options themselves."""


class _Institution(Struct):
    """The settings that an institution gives to the profiles of its accounts."""

    id: str
    branch: str | None
    """None: its id cannot be the code of a branch."""
    found: dict[str, Any] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    """Messages that its accounts may not send."""


def draft_from_sipconfig(
    root: Element, institution: str | None, upstream: str | None = None
) -> tuple[Draft, dict[str, str]]:
    """The draft for all accounts in the document `root`, and passwords by the name of their file.

    Args:
        root: its top element.
        institution: id of the institution that is the library; None: the first.
        upstream: address of the server that has this file, if it stays behind the gateway; only
            then there are passwords.

    Raises:
        SourceError: the file is of another kind, or does not have the institution.
    """
    if root.name != "acsconfig":
        raise SourceError(f"is not a SIPconfig.xml: the top element is {root.name}, not acsconfig")
    conversion = _Conversion(root, passes_on=upstream is not None)
    draft = conversion.draft(institution)
    if upstream is None:
        return draft, {}
    return draft, stand_before(draft, conversion.system, upstream, conversion.logins)


class _Conversion:
    """The conversion of one file."""

    def __init__(self, root: Element, *, passes_on: bool) -> None:
        self._root = root
        self._passes_on = passes_on
        self.logins: list[Login] = []
        """The accounts that have become terminals."""
        self._draft = Draft()
        implementations = [
            element.attributes.get("implementation", "")
            for element in root.below("institutions", "institution")
        ]
        self._evergreen = any("openils" in name.lower() for name in implementations)

    @property
    def system(self) -> Literal["koha", "evergreen"]:
        """Whose file it is; also the name of the preset."""
        return "evergreen" if self._evergreen else "koha"

    def draft(self, chosen: str | None) -> Draft:
        institutions = self._institutions()
        first = self._library(institutions, chosen)
        self._draft.tables[("institution",)] = {"id": first.id}
        self._draft.tables[("store",)] = {"url": "sqlite:library.db"}
        self._draft.tables[("server",)] = {}
        preferences = self._general()
        allowed = preferences.pop("terminals.X.networks", None)
        self._one_for_all(first, institutions.values())
        self._remark(first)
        for one in institutions.values():
            if one.branch is not None:
                self._draft.tables[("branches", one.branch)] = {"name": one.id}
        self._accounts(institutions, preferences, allowed)
        self._history()
        return self._draft

    def _library(self, institutions: dict[str, _Institution], chosen: str | None) -> _Institution:
        for name, one in institutions.items():
            if chosen in (None, name) and one.branch is not None:
                break
        else:
            known = ", ".join(institutions) or "none"
            what = "that can be the library here" if chosen is None else repr(chosen)
            raise SourceError(f"has no institution {what}; it has: {known}")
        for other in institutions.values():
            if other is not one:
                self._draft.note(
                    f"institution {other.id}",
                    "one gateway serves one institution; AO in the answers to its accounts is"
                    f" {one.id}",
                )
        return one

    def _one_for_all(self, library: _Institution, institutions: Iterable[_Institution]) -> None:
        """Settings of the whole gateway come from the library's own institution."""
        for table in ("institution", "server"):
            self._draft.put(library.found, table)
            ours = of_table(library.found, table)
            for one in institutions:
                for name, value in of_table(one.found, table).items():
                    if name not in ours or ours[name] != value:
                        self._draft.note(
                            f"institution {one.id}: {table}.{name}",
                            f"the gateway has only one, that of institution {library.id}",
                        )

    def _remark(self, library: _Institution) -> None:
        said = self._draft.remarks
        said.append(f"Institution {library.id}; passwords are kept as hashes.")
        said.append(
            f"Every account becomes a {KIND}: give doors, sorters and payment"
            " terminals a profile of their own."
        )
        if "currency" not in self._draft.tables[("institution",)]:
            said.append("Currency, time zone and language have their defaults: set them.")
        if not self._evergreen:
            said.append(
                "The gateway refuses an excess amount (B44); the other server may keep it"
                " as a credit."
            )

    def _history(self) -> None:
        """A profile that asks about earlier loans needs the history of loans."""
        tables = self._draft.tables
        profiles = (values for path, values in tables.items() if path[0] == "profiles")
        if any(values.get("confirm_previously_borrowed") for values in profiles):
            tables[("privacy",)] = {"loan_history_days": HISTORY_DAYS}
            self._draft.remarks.append(
                f"From now on, loans are kept for {HISTORY_DAYS} days: set"
                " loan_history_days to what your privacy rules allow."
            )

    # The general part -------------------------------------------------------------------------

    def _general(self) -> dict[str, Any]:
        """Server, listeners and general preferences: settings of every profile or terminal."""
        draft = self._draft
        found: dict[str, Any] = {}
        top = {k: v for k, v in self._root.values().items() if k not in STRUCTURE}
        for element in self._root.named("error-detect"):
            top["error-detect"] = element.attributes.get("enabled", "")
        found |= draft.read_all("", options.TOP, top, options.UNKNOWN)
        for element in self._root.named("server-params"):
            found |= draft.read_all(
                "server-params ", options.SERVER, element.values(), options.UNKNOWN_SERVER
            )
        for element in self._root.below("listeners", "service"):
            self._listener(element, found)
        for element in self._root.named("syspref_overrides"):
            found |= self._preferences("", element)
        for name in ("include", "xinclude"):
            for element in self._root.below(name):
                href = element.attributes.get("href", "")
                draft.note(f"include {href}", "other files are never opened; paste its content in")
        draft.put(found, "server")
        return {key: value for key, value in found.items() if not key.startswith("server.")}

    def _listener(self, element: Element, found: dict[str, Any]) -> None:
        where = f"listener {element.attributes.get('port', '')}: "
        values = element.values()
        http = "http" in values.get("transport", "").lower()
        if http or "NCIP" in values.get("protocol", ""):
            self._draft.note(where.strip(": "), "the gateway speaks only SIP2 on such a port")
            return
        here = self._draft.read_all(where, options.SERVICE, values, options.UNKNOWN)
        if values.get("transport", "raw").lower() == "raw":
            listen = [*found.get("server.listen", []), *here.pop("server.listen", [])]
            if listen:
                found["server.listen"] = list(dict.fromkeys(listen))
            found |= here

    def _preferences(self, where: str, element: Element) -> dict[str, Any]:
        values = {child.name: child.text for child in element.children}
        return self._draft.read_all(
            f"{where}syspref ", options.PREFERENCES, values, "the gateway has no preferences"
        )

    # Institutions ---------------------------------------------------------------------------------

    def _institutions(self) -> dict[str, _Institution]:
        found: dict[str, _Institution] = {}
        for element in self._root.below("institutions", "institution"):
            name = element.attributes.get("id", "")
            usable = problem_with("institution.id", name) is None
            if not usable:
                self._draft.note(
                    f"institution {name}: id",
                    "the code of a branch has up to 20 letters, digits, dots, dashes and"
                    " underscores, so its accounts get no branch",
                )
            found[name] = self._institution(element, _Institution(name, name if usable else None))
        return found

    def _institution(self, element: Element, into: _Institution) -> _Institution:
        draft, where = self._draft, f"institution {into.id}: "
        general = {
            name: value
            for name, value in element.values().items()
            if name not in ("id", "policy", "implementation_config") and value
        }
        into.found |= draft.read_all(where, options.INSTITUTION, general, options.UNKNOWN)
        for policy in element.named("policy"):
            values = policy.values()
            into.withheld |= self._withheld(f"{where}policy ", values, options.POLICY_MESSAGES)
            rest = {k: v for k, v in values.items() if k not in options.POLICY_MESSAGES}
            into.found |= draft.read_all(f"{where}policy ", options.POLICY, rest, options.UNKNOWN)
        for config in element.named("implementation_config"):
            self._implementation(where, config, into)
        return into

    def _withheld(
        self, where: str, values: dict[str, str], messages: Mapping[str, tuple[str, ...]]
    ) -> set[str]:
        """Messages whose flag is not set."""
        withheld: set[str] = set()
        for name, codes in messages.items():
            try:
                if name in values and not flag(values[name]):
                    withheld.update(codes)
            except NotCarriedError as error:
                self._draft.note(f"{where}{name}", str(error))
        return withheld

    def _implementation(self, where: str, config: Element, into: _Institution) -> None:
        draft = self._draft
        values = config.values()
        for name in ("scripts", "checkin_override", "checkout_override"):
            if any(config.named(name)):
                values[name] = ""
        into.found |= draft.read_all(where, options.IMPLEMENTATION, values, options.UNKNOWN)
        given = {
            element.attributes.get("name", ""): element.attributes.get("value", "")
            for element in config.below("options", "option")
        }
        into.found |= draft.read_all(f"{where}option ", options.OPTIONS, given, options.UNKNOWN)
        supports = {
            item.attributes.get("name", ""): item.attributes.get("value", "")
            for item in config.below("supports", "item")
        }
        messages = {name: (code,) for name, code in options.SUPPORTS.items()}
        into.withheld |= self._withheld(f"{where}supports ", supports, messages)
        rest = {name: value for name, value in supports.items() if name not in messages}
        into.found |= draft.read_all(
            f"{where}supports ", options.SUPPORTS_OPTIONS, rest, options.SUPPORTS_ELSE
        )

    # Accounts -----------------------------------------------------------------------------------

    def _accounts(
        self, institutions: dict[str, _Institution], preferences: dict[str, Any], allowed: Any
    ) -> None:
        """Write the profiles, one for all accounts with the same settings, and then the
        terminals.
        """
        terminals: dict[str, Values] = {}
        names: dict[str, list[str]] = {}
        profiles: dict[str, Values] = {}
        for element in self._root.below("accounts", "login"):
            login = _either(element.values(), LOGIN)
            institution = institutions.get(element.attributes.get("institution", ""))
            terminal = self._terminal(login, element, institution, known=login in terminals)
            if terminal is None:
                continue
            values = self._profile(login, element, institution, preferences)
            name = _profile_name(institution, values, profiles)
            profiles[name] = values
            names.setdefault(name, []).append(login)
            networks = {"networks": allowed} if allowed else {}
            # Their servers let any number of machines share an account (C102).
            lines = {"max_connections": 0}
            terminals[login] = {"profile": name, **terminal, **networks, **lines}
            self.logins.append(
                Login(
                    login,
                    _either(element.values(), PASSWORD),
                    element.attributes.get("institution", ""),
                )
            )
        for name, values in profiles.items():
            self._draft.tables[("profiles", name)] = values
        for login, values in terminals.items():
            self._draft.tables[("terminals", login)] = values
        if not terminals:
            self._draft.remarks.append(
                "No account could become a terminal: write the terminals yourself."
            )

    def _terminal(
        self, login: str, element: Element, institution: _Institution | None, *, known: bool
    ) -> Values | None:
        """Branch and password of an account; None when it cannot be a terminal."""
        where = f"account {login}: id"
        if known or problem_with("terminals.X.login", login) is not None:
            what = "another account has this name" if known else "a terminal cannot have this name"
            self._draft.note(where, f"{what}: left out")
            return None
        password = _either(element.values(), PASSWORD)
        if not password or problem_with("terminals.X.password", password) is not None:
            self._draft.note(
                f"account {login}: password",
                "left out, because it has no usable password; write a terminal with one",
                refused=not password,
            )
            return None
        if self._passes_on and "|" in password:
            self._draft.note(
                f"account {login}: password", "left out, because SIP2 cannot carry the | in it"
            )
            return None
        hashed = hash_password(password.encode("utf-8", "surrogatepass"))
        branch = {"branch": institution.branch} if institution and institution.branch else {}
        if institution is None:
            self._draft.note(
                f"account {login}: institution", "is not in the file, so the terminal has no branch"
            )
        return {**branch, "password_hash": hashed}

    def _profile(
        self,
        login: str,
        element: Element,
        institution: _Institution | None,
        preferences: dict[str, Any],
    ) -> Values:
        where = f"account {login}: "
        given: dict[str, Any] = {
            name: value
            for name, value in element.values().items()
            if name not in (*LOGIN, *PASSWORD, "institution", "syspref_overrides", *REPEATED)
        }
        for name in REPEATED:
            raw = [{"text": child.text, **child.attributes} for child in element.named(name)]
            if raw:
                given[name] = raw
            elif name in element.attributes:
                self._draft.note(f"{where}{name}", "is an element, not an attribute")
        found = dict(preferences)
        for overrides in element.named("syspref_overrides"):
            found |= self._preferences(where, overrides)
        for child in element.children:
            is_option = child.name in (*REPEATED, "syspref_overrides")
            if (child.children or child.attributes) and not is_option:
                self._draft.note(f"{where}{child.name}", options.UNKNOWN)
        of_institution = institution.found if institution else {}
        found = {
            **self._silence(),
            **of_institution,
            **found,
            **self._draft.read_all(where, options.ACCOUNT, given, options.UNKNOWN),
        }
        return self._whole(of_table(found, "profiles.X"), institution)

    def _silence(self) -> dict[str, Any]:
        """The other server's behaviour when nothing is set."""
        if self._evergreen:
            return {"profiles.X.encoding": "ascii"}
        return {
            "profiles.X.encoding": "utf-8",
            "profiles.X.terminator": "CRLF",
            "profiles.X.overdues_block_checkout": True,
            "profiles.X.lend_with_attachment": False,
        }

    def _whole(self, values: Values, institution: _Institution | None) -> Values:
        """The profile with its kind, its messages and its payments."""
        withheld = institution.withheld if institution else set()
        hidden = values.get("hide_fields", ())
        if hidden and "allow_fields" in values:
            # There, hiding wins; here, a field stands in one list.
            values["allow_fields"] = [f for f in values["allow_fields"] if f not in hidden]
        whole: Values = {"kind": KIND}
        if "37" not in withheld:
            whole["payment_types"] = PAYMENT_TYPES
        usual = KIND_DEFAULTS["selfcheck"].messages
        if withheld & set(usual):
            served = [*usual, "37"] if "37" not in withheld else [*usual]
            whole["messages"] = sorted(set(served) - withheld)
        whole |= values
        if self._passes_on:
            return {key: value for key, value in whole.items() if key in PROFILE_KEYS}
        return whole


def _either(values: dict[str, str], names: tuple[str, ...]) -> str:
    """The first of `names` with a value; empty when none has one."""
    return next((values[name] for name in names if values.get(name)), "")


def _profile_name(
    institution: _Institution | None, values: Values, profiles: dict[str, Values]
) -> str:
    """The profile with these values, or a new name based on the institution."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", institution.id if institution else "")[:40] or "kiosk"
    for name in _numbered(stem):
        if name not in profiles or profiles[name] == values:
            return name
    raise AssertionError("there is always a free number")


def _numbered(stem: str) -> Iterable[str]:
    yield stem
    number = 1
    while True:
        number += 1
        yield f"{stem}-{number}"
