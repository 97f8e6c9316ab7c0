"""The membership definitions that patrons belong to (B62)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sip2gw.backend.library import Library


def memberships(store: Library, currency: str) -> list[dict[str, Any]]:
    """The definitions by code, with every key (C82)."""
    from sip2gw.backend.loading.memberships import record_of

    return [record_of(definition, currency) for definition in store.memberships()]


def find_membership(store: Library, code: str, currency: str) -> dict[str, Any]:
    """The definition with this code.

    Raises:
        RefusedError: there is no such definition.
    """
    from sip2gw.backend.base import RefusedError

    found = next((it for it in memberships(store, currency) if it["code"] == code), None)
    if found is None:
        raise RefusedError(f"there is no membership {code}; see `membership list`")
    return found
