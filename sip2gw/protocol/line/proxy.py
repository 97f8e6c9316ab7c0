"""The header with which a proxy says who is behind it: PROXY protocol, versions 1 and 2 (C132).

Only the address matters to us. What else version 2 may carry (TLVs) is skipped.
Spec: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

_WORD = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE_BYTES_MAX = 107
_HEAD_BYTES = 16
_BODY_BYTES_MAX = 4_096
"""Addresses, and TLVs such as the name in a client's certificate; proxies send far less."""
HEADER_BYTES_MAX = _HEAD_BYTES + _BODY_BYTES_MAX

_LOCAL, _PROXY = 0x20, 0x21
"""Version 2 in the upper half of the byte, the command in the lower one."""
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESS_BYTES = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
"""Source, destination and their ports; nothing is said of other families."""


class ProxyHeaderError(ValueError):
    """What came is no header, and cannot become one."""


class ProxyHeader(NamedTuple):
    """A complete header."""

    length: int
    """Bytes of it; what follows is the connection's."""
    source: str | None
    """The IP address behind the proxy; None if the header names none: it is the proxy itself."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the start of `data`; None as long as all of `data` may belong to it.

    Raises:
        ProxyHeaderError: whatever follows, it is no header.
    """
    if data.startswith(_SIGNATURE):
        return _version_2(data)
    if data.startswith(_WORD):
        return _version_1(data)
    if _SIGNATURE.startswith(data) or _WORD.startswith(data):
        return None
    raise ProxyHeaderError("begins with neither signature")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _LINE_BYTES_MAX)
    if end < 0:
        if len(data) >= _LINE_BYTES_MAX:
            raise ProxyHeaderError("has no line end")
        return None
    family, *words = data[len(_WORD) : end].split(b" ")
    if family == b"UNKNOWN":
        return ProxyHeader(end + 2, None)
    if family not in (b"TCP4", b"TCP6") or len(words) != 4:
        raise ProxyHeaderError("is not of the form of version 1")
    source, destination, *ports = words
    if not all(map(_is_port, ports)):
        raise ProxyHeaderError("has a wrong port")
    _address(family, destination)
    return ProxyHeader(end + 2, _address(family, source))


def _address(family: bytes, text: bytes) -> str:
    try:
        if family == b"TCP4":
            return str(IPv4Address(text.decode("ascii")))
        if b"%" in text:
            raise ValueError
        return _plain(IPv6Address(text.decode("ascii")))
    except ValueError:
        raise ProxyHeaderError("has a wrong address") from None


def _plain(address: IPv6Address) -> str:
    """The text of `address`; as IPv4 when it is mapped, or caps would count it twice."""
    return str(address.ipv4_mapped or address)


def _is_port(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 5 and int(text) <= 65_535


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEAD_BYTES:
        return None
    command, family = data[12], data[13]
    size = int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("is of an unknown version or command")
    if size > _BODY_BYTES_MAX:
        raise ProxyHeaderError("is too long")
    if command == _PROXY and size < _ADDRESS_BYTES.get(family, size + 1):
        raise ProxyHeaderError("names no address that can be read")
    length = _HEAD_BYTES + size
    if len(data) < length:
        return None
    source = None
    if command == _PROXY and family == _TCP4:
        source = str(IPv4Address(data[16:20]))
    elif command == _PROXY and family == _TCP6:
        source = _plain(IPv6Address(data[16:32]))
    return ProxyHeader(length, source)
