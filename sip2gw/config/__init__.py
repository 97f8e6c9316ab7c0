"""The configuration: one TOML file, checked as a whole, and the only source of settings (B66)."""

from sip2gw.config.load import (
    Config,
    ConfigFile,
    TlsFiles,
    json_schema,
    load_config,
)
from sip2gw.config.problems import ConfigError
from sip2gw.config.reload import Lasting, reload_marks
from sip2gw.config.tables.branches import Branch
from sip2gw.config.tables.doors import DoorTable
from sip2gw.config.tables.listeners import Listener
from sip2gw.config.tables.profiles import Profile
from sip2gw.config.tables.server import ClientCertificate, UnixAddress
from sip2gw.config.tables.terminals import Terminal
from sip2gw.config.types import Address

__all__ = [
    "Address",
    "Branch",
    "ClientCertificate",
    "Config",
    "ConfigError",
    "ConfigFile",
    "DoorTable",
    "Lasting",
    "Listener",
    "Profile",
    "Terminal",
    "TlsFiles",
    "UnixAddress",
    "json_schema",
    "load_config",
    "reload_marks",
]
