"""The embedded store on SQLite, with its import and export."""

from sip2gw.backend.store.exporting import export_lines, membership_records
from sip2gw.backend.store.importing import ImportReport, ImportSettings, import_files
from sip2gw.backend.store.ledger import UndoRefusedError
from sip2gw.backend.store.migrate import SchemaError
from sip2gw.backend.store.place import StoreInUseError
from sip2gw.backend.store.secret import PinSecretError, load_pin_secret
from sip2gw.backend.store.store import Role, Store, open_store

__all__ = [
    "ImportReport",
    "ImportSettings",
    "PinSecretError",
    "Role",
    "SchemaError",
    "Store",
    "StoreInUseError",
    "UndoRefusedError",
    "export_lines",
    "import_files",
    "load_pin_secret",
    "membership_records",
    "open_store",
]
