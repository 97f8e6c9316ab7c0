"""The JSON Schema of the file as a map: which values are allowed where, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

Node = dict[str, Any]


def resolve(node: Node, schema: Node) -> Node:
    """`node` with its reference followed and without the alternative "nothing"."""
    if "$ref" in node:
        definition = schema["$defs"][node["$ref"].rpartition("/")[2]]
        node = {**definition, **{key: value for key, value in node.items() if key != "$ref"}}
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return {**resolve(options[0], schema), **rest}
    return node


def member_node(node: Node) -> Node:
    """The schema of every entry in the table `node`; empty for a table of fixed keys."""
    for member in node.get("patternProperties", {}).values():
        return dict(member)
    member = node.get("additionalProperties")
    return dict(member) if isinstance(member, dict) else {}


def node_at(schema: Node, path: Iterable[str | int]) -> Node:
    """The schema at `path`; empty when it is unknown.

    The part `[key]` means the name of the key before it instead of its value.
    """
    node = above = schema
    for part in path:
        if part == "[key]":
            patterns = list(above.get("patternProperties", ()))
            named_like = {"type": "string", "pattern": patterns[0]} if patterns else {}
            step = above.get("propertyNames", named_like)
        elif isinstance(part, int):
            step = _items_of(node)
        else:
            table = table_in(node, schema)
            step = table.get("properties", {}).get(part) or member_node(table)
        above, node = node, resolve(step, schema)
    return node


def table_in(node: Node, schema: Node) -> Node:
    """`node`, or what it is where a value may be a table or something else."""
    options = [resolve(option, schema) for option in node.get("anyOf", ())]
    return next((option for option in options if option.get("type") == "object"), node)


def tables_of(node: Node, schema: Node, name: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """The tables below `node` and their keys; those with a name of their own are called NAME."""
    properties = node.get("properties", {})
    if name and properties:
        yield name, frozenset(properties)
    below = properties or {"NAME": member_node(node)}
    for key, one in below.items():
        inner = resolve(one, schema)
        if inner.get("type") == "object":
            yield from tables_of(inner, schema, f"{name}.{key}".lstrip("."))


def _items_of(node: Node) -> Node:
    """The schema of the members of the list at `node`; empty when it is unknown."""
    options: list[Node] = [node, *node.get("anyOf", ())]
    return next((option["items"] for option in options if "items" in option), {})


def is_secret(node: Node) -> bool:
    """Whether its value must not be shown; an unknown value counts as secret."""
    return not node or bool(node.get("writeOnly"))


def describe_node(node: Node, schema: Node) -> str:
    """The allowed values: `"a" | "b"`, `integer 1-256`, `list of …`; empty if unknown."""
    node = resolve(node, schema)
    if "anyOf" in node:
        return " or ".join(describe_node(option, schema) for option in node["anyOf"])
    if "enum" in node:
        return " | ".join(map(json.dumps, node["enum"]))
    if "const" in node:
        return json.dumps(node["const"])
    kind = node.get("type", "")
    if kind == "array":
        return f"list of {describe_node(node.get('items', {}), schema)}"
    if kind == "object":
        return "table"
    if is_secret(node):
        return "string"
    if kind in ("integer", "number"):
        return f"{kind}{_bounds(node)}"
    if kind == "string" and "format" in node:
        return f"string ({node['format']})"
    if kind == "string" and "pattern" in node:
        return f"string like {node['pattern']}"
    return "true | false" if kind == "boolean" else str(kind)


def _bounds(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is None and "exclusiveMinimum" in node:
        return f" above {node['exclusiveMinimum']:.10g}, up to {high:.10g}"
    return f" {low:.10g}-{high:.10g}" if low is not None and high is not None else ""
