"""Who may ask over HTTP, what they did, and what they were answered."""

from __future__ import annotations

TOKENS_AND_AUDIT = (
    """CREATE TABLE token (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL CHECK (role IN ('view', 'staff', 'admin', 'self')),
        digest TEXT NOT NULL UNIQUE,
        created TEXT NOT NULL,
        expires TEXT,
        networks TEXT NOT NULL,
        last_used TEXT)""",
    """CREATE TABLE audit (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        who TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('view', 'staff', 'admin', 'self')),
        source TEXT NOT NULL CHECK (source IN ('command', 'rest')),
        action TEXT NOT NULL,
        object TEXT NOT NULL,
        patron_id TEXT,
        address TEXT NOT NULL,
        outcome TEXT NOT NULL
            CHECK (outcome IN ('begun', 'done', 'rehearsed', 'refused', 'failed')))""",
    "CREATE INDEX audit_time ON audit (time, id)",
    "CREATE INDEX audit_patron ON audit (patron_id, time) WHERE patron_id IS NOT NULL",
    """CREATE TABLE answered (
        token TEXT NOT NULL,
        key TEXT NOT NULL,
        request TEXT NOT NULL,
        time TEXT NOT NULL,
        status INTEGER,
        body TEXT NOT NULL,
        PRIMARY KEY (token, key))""",
    "CREATE INDEX answered_time ON answered (time)",
)
"""Of a token its digest only. Audit entries are never changed but for their outcome and for the
stub that takes the place of a forgotten patron, and deleted when they are too old. `answered`: what
must happen once, by its `Idempotency-Key`; without a status it has not ended."""
