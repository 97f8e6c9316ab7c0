"""From edge-sip2's JSON to a draft: its main file, its tenants, and its settings in FOLIO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sip2gw.config.tables.profiles import KIND_DEFAULTS
from sip2gw.config.tables.server import LISTEN_DEFAULT
from sip2gw.convert import options
from sip2gw.convert.draft import Draft, Values, of_table
from sip2gw.convert.option import NotCarriedError, flag, problem_with
from sip2gw.convert.source import BYTES_MAX, SourceError

KIND = "selfcheck"
TENANTS = "scTenants"
NET = "netServerOptions"
SUPPORTED = "supportedMessages"
LISTEN = "server.listen"

Object = dict[str, Any]


def read_json(data: bytes) -> Object:
    """The object in `data`.

    Raises:
        SourceError: it is not a JSON object, or it is too big.
    """
    if len(data) > BYTES_MAX:
        raise SourceError(f"is larger than {BYTES_MAX} bytes")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SourceError(f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON: line {error.lineno}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise SourceError("is not readable JSON: it nests too deeply") from None
    if not isinstance(document, dict):
        raise SourceError("is not a JSON object")
    return document


def draft_from_edge(documents: Iterable[Object], tenant: str | None) -> Draft:
    """The draft for one tenant of edge-sip2.

    Args:
        documents: the files, in any order: main file, tenants, settings from FOLIO.
        tenant: its name; None: the first.

    Raises:
        SourceError: the files are of another kind, or the tenant does not exist.
    """
    return _Conversion(list(documents)).draft(tenant)


class _Conversion:
    """The conversion of the files."""

    def __init__(self, documents: list[Object]) -> None:
        self._documents = documents
        self._draft = Draft()
        self._settings: dict[str, Any] = {}
        self._withheld: set[str] = set()

    def draft(self, chosen: str | None) -> Draft:
        tenants = [entry for one in self._documents for entry in _objects(one.get(TENANTS))]
        known = list(dict.fromkeys(str(entry.get("tenant", "")) for entry in tenants))
        if not tenants:
            raise SourceError(f"has no {TENANTS}")
        usable = [name for name in known if problem_with("institution.id", name) is None]
        name = chosen if chosen is not None else (usable[0] if usable else None)
        if name not in usable:
            raise SourceError(
                f"has no tenant {name or ''} that can be the library here; it has:"
                f" {', '.join(known)}"
            )
        self._draft.tables[("institution",)] = {"id": name}
        self._draft.tables[("store",)] = {"url": "sqlite:library.db"}
        self._draft.tables[("server",)] = {}
        for document in self._documents:
            self._main(document)
            self._folio(document)
        for table in ("institution", "server"):
            self._draft.put(self._settings, table)
        for other in known:
            if other != name:
                self._draft.note(
                    f"tenant {other}", "is another library; convert it with --institution"
                )
        self._profiles([entry for entry in tenants if str(entry.get("tenant", "")) == name])
        self._remark()
        return self._draft

    def _remark(self) -> None:
        self._draft.remarks += [
            "Terminals log in with users of FOLIO, whose passwords are not in these files. Write",
            "each of them, with a password made by `sip2gw hash-password`:",
            "",
            "    [terminals.kiosk-1]",
            '    profile = "…"',
            '    password_hash = "…"',
            '    networks = ["…"]            # its scSubnet',
            "    max_connections = 0         # as many machines as share the user",
        ]

    def _main(self, document: Object) -> None:
        own = {
            name: value
            for name, value in document.items()
            if name in {option.name for option in options.EDGE_MAIN}
        }
        self._join(self._draft.read_all("", options.EDGE_MAIN, own, options.UNKNOWN))
        net = document.get(NET)
        if isinstance(net, dict):
            self._join(
                self._draft.read_all(f"{NET} ", options.EDGE_NET, net, options.UNKNOWN_EDGE_NET)
            )

    def _join(self, found: dict[str, Any]) -> None:
        """Take in the values; addresses to listen on are joined."""
        listen = [*self._settings.get(LISTEN, ()), *found.get(LISTEN, ())]
        self._settings |= found
        if listen:
            self._settings[LISTEN] = list(dict.fromkeys(listen))

    # What is kept in FOLIO --------------------------------------------------------------------

    def _folio(self, document: Object) -> None:
        """Settings as FOLIO hands them out (`configs`, `configName`), or bare."""
        if "configs" in document:
            for entry in _objects(document["configs"]):
                self._folio(entry)
        elif "configName" in document:
            self._entry(str(document["configName"]), document.get("value"))
        else:
            known = {*(option.name for option in options.EDGE_SETTINGS), SUPPORTED}
            bare = {name: value for name, value in document.items() if name in known}
            self._set("", bare)
            others = {TENANTS, NET, *known, *(option.name for option in options.EDGE_MAIN)}
            for name in sorted(document.keys() - others):
                self._draft.note(name, options.UNKNOWN)

    def _entry(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (json.JSONDecodeError, RecursionError):
                value = None
        if isinstance(value, dict):
            self._set(f"{name.partition('.')[0]} ", value)
        else:
            self._draft.note(name, "its value is not a JSON object")

    def _set(self, where: str, values: Object) -> None:
        for name, codes in options.EDGE_POLICY.items():
            if name in values:
                self._allow(f"{where}{name}", values[name], codes)
        for entry in _objects(values.get(SUPPORTED)):
            name = str(entry.get("messageName", ""))
            code = options.EDGE_MESSAGES.get(name)
            if code is None:
                self._draft.note(f"{where}{SUPPORTED} {name}", "this message is unknown here")
            else:
                self._allow(f"{where}{SUPPORTED} {name}", entry.get("isSupported", ""), (code,))
        rest = {
            name: value
            for name, value in values.items()
            if name not in options.EDGE_POLICY and name != SUPPORTED
        }
        self._join(self._draft.read_all(where, options.EDGE_SETTINGS, rest, options.UNKNOWN))

    def _allow(self, where: str, raw: Any, codes: tuple[str, ...]) -> None:
        try:
            if not flag(raw):
                self._withheld.update(codes)
        except NotCarriedError as error:
            self._draft.note(where, str(error))

    # Profiles ---------------------------------------------------------------------------------

    def _profiles(self, entries: list[Object]) -> None:
        """One profile for all subnets of the tenant that have the same settings."""
        profiles: list[Values] = []
        for entry in entries:
            where = f"{TENANTS} {entry.get('scSubnet', entry.get('port', ''))}: "
            given = {"errorDetectionEnabled": False, "charset": "IBM850"} | entry
            found = self._draft.read_all(where, options.EDGE_TENANT, given, options.UNKNOWN)
            self._join({key: value for key, value in found.items() if key == LISTEN})
            values = self._whole(of_table({**self._settings, **found}, "profiles.X"))
            if values not in profiles:
                profiles.append(values)
        if self._settings.pop("server.proxy_protocol", False):
            addresses = self._settings.get(LISTEN, [LISTEN_DEFAULT])
            self._settings[LISTEN] = [{"address": one, "proxy": True} for one in addresses]
        self._draft.put(self._settings, "server")
        for number, values in enumerate(profiles, 1):
            self._draft.tables[("profiles", f"kiosk-{number}")] = values

    def _whole(self, values: Values) -> Values:
        whole: Values = {"kind": KIND}
        usual = KIND_DEFAULTS["selfcheck"].messages
        if self._withheld & set(usual):
            whole["messages"] = sorted(set(usual) - self._withheld)
        return whole | values


def _objects(value: Any) -> Iterator[Object]:
    """The objects in a list; anything else is ignored."""
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict):
            yield entry
