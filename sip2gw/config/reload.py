"""What a reload may change (B66, C113), according to the marks on the keys in the models.

A key without a mark takes effect at once, because everything that runs reads it from the `Config`
or `Site` that a reload replaces. The reference page is made from the same marks.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache

from msgspec.structs import replace
from pydantic import BaseModel

from sip2gw.config.load import Config, ConfigFile
from sip2gw.config.types import RELOAD, ReloadMark


@cache
def reload_marks() -> dict[str, ReloadMark | None]:
    """Every key of the file and its mark, in the order of the file.

    A table whose names the library chooses (`branches`) counts as one key, and so does a marked
    table.
    """
    return dict(_marks_in(ConfigFile, ""))


def _marks_in(model: type[BaseModel], path: str) -> Iterator[tuple[str, ReloadMark | None]]:
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        mark = extra.get(RELOAD) if isinstance(extra, dict) else None
        kind = field.annotation
        if mark is None and inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from _marks_in(kind, f"{path}{name}.")
        else:
            yield f"{path}{name}", mark  # type: ignore[misc] # never another mark


_MAKE_LISTENERS = frozenset({"server.listen", "server.proxy_protocol"})


class Lasting:
    """The values of the marked keys when the gateway started, to compare later files with."""

    def __init__(self, started: Config) -> None:
        self._values = _marked_values(started)
        self._accounts = started.accounts
        self._listeners = started.listeners

    def kept(self, config: Config) -> Config:
        """`config` with the accounts of the start, because their lines are open.

        An account that only `config` knows stands there as well. Nobody asks for its terminals
        before the restart.
        """
        return replace(config, accounts={**config.accounts, **self._accounts})

    def forbidden(self, config: Config) -> list[str]:
        """One line for each key that `config` changes although money or identity depends on it."""
        return [
            f"{config.path}: {key}: a reload cannot change this key, because money or identity"
            " depends on it; put the old value back, or restart the gateway if you mean the change"
            for key in self._changed(config, "refused")
        ]

    def waiting(self, config: Config) -> list[str]:
        """The keys of `config` that differ and take effect only after a restart.

        A certificate that comes or goes makes other listeners, although `server.listen` is as it
        was.
        """
        changed = self._changed(config, "restart")
        if config.listeners != self._listeners and not _MAKE_LISTENERS.intersection(changed):
            changed.append("server.listen")
        return changed

    def _changed(self, config: Config, mark: ReloadMark) -> list[str]:
        marks, now = reload_marks(), _marked_values(config)
        return [
            key for key, value in now.items() if marks[key] == mark and value != self._values[key]
        ]


def _marked_values(config: Config) -> dict[str, object]:
    return {key: _value(config.source, key) for key, mark in reload_marks().items() if mark}


def _value(file: ConfigFile, key: str) -> object:
    value: object = file
    for name in key.split("."):
        value = getattr(value, name)
    return value
