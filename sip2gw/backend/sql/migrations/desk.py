"""What people have to look at: entries for review, customer support."""

from __future__ import annotations

from sip2gw.backend.sql.migrations.columns import flag

REVIEWS = (
    "ALTER TABLE review RENAME TO review_before",
    """CREATE TABLE review (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('offline', 'conflict', 'unknown')),
        terminal TEXT NOT NULL,
        message TEXT NOT NULL,
        item TEXT NOT NULL,
        patron TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused', 'unknown')),
        reasons TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
        note TEXT NOT NULL DEFAULT '',
        closed TEXT,
        closed_by TEXT,
        CHECK ((state = 'closed') = (closed IS NOT NULL)))""",
    """INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome, reasons)
        SELECT 'R' || ROW_NUMBER() OVER (ORDER BY time, id), time,
               CASE WHEN outcome = 'done' AND reasons = '' THEN 'offline' ELSE 'conflict' END,
               terminal, code, item_id, patron_id, outcome, reasons
        FROM review_before""",
    "DROP TABLE review_before",
    # Dates that no zone can tell (C106), inside of what is kept for a day to answer retries.
    """DELETE FROM circulation WHERE outcome LIKE '%"9999-%' OR outcome LIKE '%"0001-%'
        OR before LIKE '%"9999-%' OR before LIKE '%"0001-%'""",
    "CREATE INDEX review_open ON review (time, id) WHERE state = 'open'",
)

_AUTOMATIC_CATEGORIES = (
    ("PAYU", "Payment of unknown outcome"),
    ("PAYR", "Payment refused after money was taken"),
    ("CARD", "Card blocked by a terminal"),
    ("PINL", "PINs locked at a door"),
    ("PINT", "Many wrong PINs at a terminal"),
    ("OFFL", "Transaction that was off line or uncertain"),
    ("JOUR", "Journalled transaction that cannot be replayed"),
    ("DOOR", "Door that refuses everybody"),
    ("SILE", "Terminal that is silent"),
    ("DATA", "Library data out of date"),
)

SUPPORT = (
    """CREATE TABLE support_type (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL)""",
    """CREATE TABLE support_category (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL)""",
    """CREATE TABLE support_department (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL)""",
    """CREATE TABLE support_unit (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        department TEXT NOT NULL REFERENCES support_department (code))""",
    """CREATE TABLE support_default_message (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        text TEXT NOT NULL)""",
    """CREATE TABLE support_processing (
        type TEXT NOT NULL REFERENCES support_type (code),
        category TEXT NOT NULL REFERENCES support_category (code),
        response_days INTEGER,
        processing_days INTEGER,
        department TEXT REFERENCES support_department (code),
        unit TEXT REFERENCES support_unit (code),
        processor TEXT NOT NULL,
        reporter TEXT NOT NULL,
        PRIMARY KEY (type, category))""",
    """CREATE TABLE support_message (
        id BIGINT PRIMARY KEY,
        type TEXT NOT NULL REFERENCES support_type (code),
        category TEXT NOT NULL REFERENCES support_category (code),
        object TEXT NOT NULL,
        patron_id TEXT,
        branch TEXT,
        text TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('A', 'B', 'C', 'D', 'X', 'Y', 'Z')),
        created TEXT NOT NULL,
        count BIGINT NOT NULL DEFAULT 1,
        repeated TEXT,
        answered TEXT,
        closed TEXT,
        reopened INTEGER NOT NULL DEFAULT 0 CHECK (reopened IN (0, 1)),
        department TEXT REFERENCES support_department (code),
        unit TEXT REFERENCES support_unit (code),
        processor TEXT NOT NULL,
        reporter TEXT NOT NULL,
        response_due TEXT,
        processing_due TEXT,
        CHECK ((status IN ('X', 'Y', 'Z')) = (closed IS NOT NULL)))""",
    """CREATE UNIQUE INDEX support_open_cause ON support_message (category, object)
        WHERE closed IS NULL AND object <> ''""",
    "CREATE INDEX support_patron ON support_message (patron_id) WHERE patron_id IS NOT NULL",
    "CREATE INDEX support_closed ON support_message (closed) WHERE closed IS NOT NULL",
    """CREATE TABLE support_event (
        message_id BIGINT NOT NULL REFERENCES support_message (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        time TEXT NOT NULL,
        user_name TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('opened', 'answered', 'changed')),
        before TEXT,
        after TEXT NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (message_id, position))""",
    "INSERT INTO setting (name, value) VALUES ('support_last_id', '0')",
    "INSERT INTO support_type (code, description) VALUES ('AU', 'Opened by the gateway')",
    *(
        f"INSERT INTO support_category (code, description) VALUES ('{code}', '{description}')"  # noqa: S608 -- both are ours
        for code, description in _AUTOMATIC_CATEGORIES
    ),
    # Staff know what was refused before; everything later is followed up once.
    "ALTER TABLE refused_payment ADD COLUMN followed INTEGER NOT NULL DEFAULT 0",
    "UPDATE refused_payment SET followed = 1",
    "CREATE INDEX refused_payment_new ON refused_payment (time, id) WHERE followed = 0",
    "ALTER TABLE attempt ADD COLUMN followed INTEGER NOT NULL DEFAULT 0",
    "UPDATE attempt SET followed = 1 WHERE settled IS NOT NULL",
    "CREATE INDEX attempt_new ON attempt (id) WHERE followed = 0",
)
"""Ids count up from `support_last_id`, and are never given twice. Of one cause (category and
object) one message is open at most. A reopened one is closed by people only."""

FOLLOW_UPS = (
    "ALTER TABLE block ADD COLUMN terminal TEXT",
    "ALTER TABLE block ADD COLUMN card TEXT",
    f"ALTER TABLE block ADD COLUMN {flag('told', 1)}",
    "CREATE INDEX block_untold ON block (patron_id) WHERE told = 0",
    "ALTER TABLE patron ADD COLUMN answers TEXT NOT NULL DEFAULT '[]'",
    """CREATE TABLE terminal_watch (
        terminal TEXT PRIMARY KEY,
        heard TEXT,
        silence_told TEXT,
        refusals_told TEXT)""",
)
"""Which card a terminal blocked, and whether staff were told; staff's answers that the patron has
not seen yet; when any gateway heard a terminal last, after which silence staff were told of it, and
when they were told last that it refuses everybody."""
