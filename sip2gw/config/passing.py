"""The configuration in force, passed on to another process of ours (C131).

The files may have changed since they were read, or be invalid by now. So a worker gets what its
parent has, secrets included, in memory that has no name and that only the two can read. The process
for HTTP gets it on its connection to the gateway, which nobody else has.
"""

from __future__ import annotations

import io
import os
import pickle
from types import MappingProxyType
from typing import Any, cast

from sip2gw.config.load import Config


def pack(config: Config) -> bytes:
    """`config` for another process of ours."""
    packed = io.BytesIO()
    _Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(config)
    return packed.getvalue()


def unpack(packed: bytes) -> Config:
    """What `pack` made in a process of ours, and never anything else: it can run any code."""
    return cast("Config", pickle.loads(packed))  # noqa: S301 -- of our own gateway


def write_config(config: Config) -> int:
    """A descriptor of memory that holds `config`; the caller closes it."""
    descriptor = os.memfd_create("sip2gw-configuration")
    with open(descriptor, "wb", closefd=False) as memory:
        memory.write(pack(config))
    return descriptor


def read_config(descriptor: int) -> Config:
    """What `write_config` has written, at every call; closes `descriptor`."""
    with open(descriptor, "rb") as memory:
        memory.seek(0)
        return unpack(memory.read())


class _Pickler(pickle.Pickler):
    """Also takes the read-only mappings of a configuration."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is MappingProxyType:
            return _read_only, (dict(value),)
        return NotImplemented


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)
