"""The end of `systemd/sip2gw.toml`: every key, commented out, as the models declare it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from reference.configuration import table_below
from sip2gw.config import json_schema
from sip2gw.config.schema import Node, describe_node

FILE = Path(__file__).parents[3] / "systemd" / "sip2gw.toml"

MARK = "# --- Every key"
_INTRODUCTION = f"""{MARK}, with its default and what it takes
#
# To set one, write it without the # into its table above, or below all tables with the table's
# line. NAME is a name of your own; [[…]] is one of several entries in a list of tables. What each
# key means: docs/reference/configuration.md.
# (Written by `python tests/support/write_reference.py example`.)
"""


def example() -> str:
    """The whole file: what people have written of it, and then all keys."""
    by_hand = FILE.read_text(encoding="utf-8").partition(MARK)[0]
    schema = json_schema()
    return f"{by_hand}{_INTRODUCTION}{''.join(_tables('', schema, schema))}"


def _tables(path: str, node: Node, schema: Node) -> Iterator[str]:
    """The part on the table `node`, then those on the tables in it."""
    inner: list[tuple[str, Node]] = []
    keys, required = [], node.get("required", ())
    for key, value in node["properties"].items():
        table = table_below(f"{path}.{key}".lstrip("."), value, schema)
        if table is not None:
            inner.append(table)
        elif path:
            keys.append(_line(key, value, schema, required=key in required))
        else:
            yield f"\n# [{key}.NAME]\n# KEY =\n"  # names and keys of the library's choice
    if path:
        yield f"\n# {_title(path)}\n{''.join(keys)}"
    for name, table_node in inner:
        if table_node["properties"].keys() < node["properties"].keys():
            but = ", ".join(sorted(node["properties"].keys() - table_node["properties"].keys()))
            yield f"\n# {_title(name)} takes all keys of {_title(path)} but {but}.\n"
        else:
            yield from _tables(name, table_node, schema)


def _title(path: str) -> str:
    return f"[[{path.removesuffix('[]')}]]" if path.endswith("[]") else f"[{path}]"


def _line(key: str, value: Node, schema: Node, *, required: bool) -> str:
    default = value.get("default")
    shown = "" if default in (None, "") else f" {json.dumps(default, ensure_ascii=False)}"
    must = ", required" if required else ""
    return f"# {f'{key} ={shown}':<40} # {describe_node(value, schema)}{must}\n"
