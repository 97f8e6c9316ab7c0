"""What a reload may change (B66, C113), by the marks on the keys in the models.

A key without a mark takes effect at once: whatever runs reads it from the `Config` or the `Site`
that a reload puts in the place of the old ones. The reference page is made from the same marks.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from sip2gw.config.load import Config, ConfigFile
from sip2gw.config.types import RELOAD, ReloadMark


@cache
def reload_marks() -> dict[str, ReloadMark | None]:
    """Every key of the file and its mark, in the order of the file.

    A table whose names the library chooses (`branches`) is one key, and so is a marked table.
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
            yield f"{path}{name}", mark  # type: ignore[misc]


class Lasting:
    """What the marked keys said when the gateway started, to compare later files with."""

    def __init__(self, started: Config) -> None:
        self._values = _marked_values(started)

    def forbidden(self, config: Config) -> list[str]:
        """One line per key on which money or identity hangs and that `config` would change."""
        return [
            f"{config.path}: {key}: cannot be changed by a reload, for money or identity hangs on"
            " it; put it back, or restart the gateway if the change is meant"
            for key in self._changed(config, "refused")
        ]

    def waiting(self, config: Config) -> list[str]:
        """The keys of `config` that count from the next start only and differ from what runs."""
        return self._changed(config, "restart")

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
