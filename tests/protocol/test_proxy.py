"""The header with which a proxy says who is behind it, versions 1 and 2.  (C132)"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip2gw.protocol.line.proxy import (
    HEADER_BYTES_MAX,
    ProxyHeader,
    ProxyHeaderError,
    read_proxy_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOGIN = b"9300CNkiosk-1|COpw|\r"
TCP4 = b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 6001\r\n"
TCP6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 6001\r\n"


def version_2(command, family, body):
    """A header of version 2: signature, version and command, family, size, body."""
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2) + body


FOUR = bytes((192, 0, 2, 7)) + bytes((10, 0, 0, 1)) + b"\x9c\x40\x17\x71"
SIX = bytes.fromhex("20010db8000000000000000000000007") + bytes(16) + b"\x9c\x40\x17\x71"
MAPPED = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 7)) + bytes(16) + b"\x9c\x40\x17\x71"
TLV = b"\x02\x00\x05kiosk"
"""What else a proxy says: here the name in the terminal's certificate."""


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (TCP4, "192.0.2.7"),
        (TCP6, "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 65535\r\n", "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (version_2(0x21, 0x11, FOUR), "192.0.2.7"),
        (version_2(0x21, 0x21, SIX), "2001:db8::7"),
        (version_2(0x21, 0x21, MAPPED), "192.0.2.7"),
        (version_2(0x21, 0x11, FOUR + TLV), "192.0.2.7"),
        (version_2(0x21, 0x31, bytes(216)), None),  # the proxy's client came by a Unix socket
        (version_2(0x21, 0x00, b""), None),
        (version_2(0x20, 0x00, b""), None),  # LOCAL: the proxy looks whether we are there
        (version_2(0x20, 0x11, FOUR), None),
        (version_2(0x20, 0x99, b""), None),
        (version_2(0x21, 0x11, FOUR + bytes(4_084)), "192.0.2.7"),
    ],
)
def test_it_is_read_exactly_however_it_comes(header, source):
    for end in range(len(header)):
        assert read_proxy_header(header[:end]) is None
    for behind in (b"", LOGIN, b"\x16\x03\x01", header):
        assert read_proxy_header(header + behind) == ProxyHeader(len(header), source)
    assert len(header) <= HEADER_BYTES_MAX


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (LOGIN, "begins with neither"),
        (b"\x16\x03\x01\x02\x00", "begins with neither"),
        (b"PROXX", "begins with neither"),
        (b"\r\n\r\n\r", "begins with neither"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\n", "form of version 1"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 6001 \r\n", "form of version 1"),
        (b"PROXY TCP4  192.0.2.7 10.0.0.1 40000 6001\r\n", "form of version 1"),
        (b"PROXY UDP4 192.0.2.7 10.0.0.1 40000 6001\r\n", "form of version 1"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 6001\n\r\n", "wrong port"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 x 6001\r\n", "wrong port"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4 65536\r\n", "wrong port"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 000004 6001\r\n", "wrong port"),
        (b"PROXY TCP4 192.0.2 10.0.0.1 4 6001\r\n", "wrong address"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.256 4 6001\r\n", "wrong address"),
        (b"PROXY TCP4 2001:db8::7 2001:db8::1 4 6001\r\n", "wrong address"),
        (b"PROXY TCP6 192.0.2.7 ::1 4 6001\r\n", "wrong address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 4 6001\r\n", "wrong address"),
        (b"PROXY TCP4 \xd9\xa1.0.2.7 10.0.0.1 4 6001\r\n", "wrong address"),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "no line end"),  # 108 bytes
        (version_2(0x11, 0x11, FOUR), "unknown version or command"),
        (version_2(0x22, 0x11, FOUR), "unknown version or command"),
        (version_2(0x21, 0x12, FOUR), "no address"),  # UDP
        (version_2(0x21, 0x11, FOUR[:-1]), "no address"),
        (version_2(0x21, 0x21, FOUR), "no address"),
        (version_2(0x21, 0x31, FOUR), "no address"),
        (version_2(0x21, 0x11, FOUR + bytes(4_085)), "too long"),
    ],
)
def test_what_is_no_header_is_refused(data, problem):
    with pytest.raises(ProxyHeaderError, match=problem):
        read_proxy_header(data)


def test_a_header_that_is_too_long_is_refused_before_it_has_come():
    with pytest.raises(ProxyHeaderError, match="too long"):
        read_proxy_header(SIGNATURE + b"\x21\x11\xff\xff")


def test_the_longest_line_of_version_1_has_107_bytes():
    longest = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
    assert read_proxy_header(longest) == ProxyHeader(107, None)
    assert read_proxy_header(longest[:-1]) is None


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=300))
def test_what_a_proxy_writes_is_what_we_read(source, peer, port, behind):
    for version in (4, 6):
        if (source.version, peer.version) != (version, version):
            continue
        line = f"PROXY TCP{version} {source} {peer} {port} {port}\r\n".encode()
        body = source.packed + peer.packed + port.to_bytes(2) * 2
        binary = version_2(0x21, 0x11 if version == 4 else 0x21, body)
        told = str(getattr(source, "ipv4_mapped", None) or source)
        for header in (line, binary):
            assert read_proxy_header(header + behind) == ProxyHeader(len(header), told)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"]),
    st.binary(max_size=300),
)
def test_whatever_comes_the_answer_stands_when_more_comes(start, data):
    """Nothing but `ProxyHeaderError` is raised, and a decision is final."""
    try:
        first = read_proxy_header(start + data)
    except ProxyHeaderError:
        with pytest.raises(ProxyHeaderError):
            read_proxy_header(start + data + b"\r\n")
        return
    if first is not None:
        assert first.length <= len(start + data)
        assert read_proxy_header((start + data)[: first.length]) == first
