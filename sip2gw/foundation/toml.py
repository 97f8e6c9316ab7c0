"""Values and keys as a TOML file has them."""

from __future__ import annotations

import json
import re
from typing import Any


def toml_value(value: Any) -> str:
    """`value` as a TOML file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{toml_key(k)} = {toml_value(v)}' for k, v in value.items())} }}"
    # JSON's escapes are TOML's, but for DEL and lone surrogates.
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """`name` as a key; quoted if need be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)
