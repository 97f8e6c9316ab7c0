"""The embedded store on SQLite, with its import and export."""

from sip2gw.backend.store.secret import PinSecretError, load_pin_secret
from sip2gw.backend.store.store import Role, Store, StoreInUseError, open_store

__all__ = [
    "PinSecretError",
    "Role",
    "Store",
    "StoreInUseError",
    "load_pin_secret",
    "open_store",
]
