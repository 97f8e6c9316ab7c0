"""The parts that every reader of another server's file needs."""

BYTES_MAX = 4 << 20


class SourceError(Exception):
    """The other server's file cannot be read; the text says where and why."""
