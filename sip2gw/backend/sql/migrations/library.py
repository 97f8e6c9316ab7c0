"""The library and its doors: people, stock, loans and holds, passages, logins."""

from __future__ import annotations

from sip2gw.backend.sql.migrations.columns import flag

PEOPLE = (
    f"""CREATE TABLE membership (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        type INTEGER NOT NULL CHECK (type BETWEEN 0 AND 8),
        customer_group TEXT,
        minimum_age INTEGER,
        maximum_age INTEGER,
        max_items INTEGER NOT NULL DEFAULT 0,
        max_holds INTEGER NOT NULL DEFAULT 0,
        {flag("holds_permitted", 1)},
        max_fees_self_service BIGINT,
        max_fees_desk BIGINT,
        alert_amount BIGINT,
        {flag("fines_via_invoice")},
        fee BIGINT NOT NULL DEFAULT 0,
        renewal_type INTEGER NOT NULL DEFAULT 0,
        term_months INTEGER,
        minimum_term_months INTEGER,
        minimum_duration_months INTEGER,
        free_months INTEGER,
        trial_months INTEGER,
        subsequent_membership TEXT REFERENCES membership (code),
        notification_term_months INTEGER,
        remove_after_months INTEGER,
        {flag("hidden")},
        {flag("outgoing")},
        {flag("guest_lending")},
        {flag("automatic_renewal")},
        {flag("allow_pin_reset")},
        {flag("no_card_replacement_fee")},
        statistical_code TEXT,
        reporting_group TEXT,
        book_code TEXT,
        info TEXT)""",
    f"""CREATE TABLE badge (
        code TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT '',
        {flag("active", 1)},
        branches TEXT NOT NULL DEFAULT '[]')""",
    """CREATE TABLE patron (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        pin_hash TEXT,
        birth_date TEXT,
        membership_code TEXT REFERENCES membership (code),
        membership_from TEXT,
        membership_until TEXT,
        status INTEGER NOT NULL DEFAULT 5 CHECK (status BETWEEN 0 AND 9),
        home_branch TEXT,
        language TEXT,
        email TEXT,
        phone TEXT,
        address TEXT,
        notices TEXT NOT NULL DEFAULT '[]',
        house_rules_accepted TEXT,
        fee_limit BIGINT CHECK (fee_limit >= 0))""",
    """CREATE TABLE card (
        number TEXT PRIMARY KEY,
        patron_id TEXT NOT NULL REFERENCES patron (id),
        state TEXT NOT NULL CHECK (state IN ('active', 'blocked', 'replaced', 'lost')))""",
    "CREATE INDEX card_patron ON card (patron_id)",
    """CREATE TABLE pin_attempt (
        card_number TEXT PRIMARY KEY REFERENCES card (number) ON DELETE CASCADE,
        failures INTEGER NOT NULL CHECK (failures > 0),
        locked_until TEXT)""",
    """CREATE TABLE badge_assignment (
        patron_id TEXT NOT NULL REFERENCES patron (id),
        badge_code TEXT NOT NULL REFERENCES badge (code),
        valid_from TEXT,
        valid_until TEXT,
        branches TEXT NOT NULL DEFAULT '[]',
        source TEXT NOT NULL DEFAULT 'import' CHECK (source IN ('import', 'staff')),
        PRIMARY KEY (patron_id, badge_code))""",
    """CREATE TABLE block (
        patron_id TEXT NOT NULL REFERENCES patron (id),
        source TEXT NOT NULL CHECK (source IN ('import', 'staff', 'terminal')),
        type TEXT NOT NULL,
        position INTEGER NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT '',
        valid_until TEXT,
        PRIMARY KEY (patron_id, source, type, position))""",
    f"""CREATE TABLE relationship (
        type TEXT NOT NULL CHECK (type IN ('head_of_family', 'authorisation')),
        from_id TEXT NOT NULL REFERENCES patron (id),
        to_id TEXT NOT NULL REFERENCES patron (id),
        {flag("may_renew")},
        {flag("may_pay")},
        {flag("confirmed", 1)},
        PRIMARY KEY (type, from_id, to_id),
        CHECK (from_id <> to_id))""",
    "CREATE INDEX relationship_to ON relationship (to_id)",
    """CREATE UNIQUE INDEX relationship_one_head ON relationship (to_id)
        WHERE type = 'head_of_family'""",
    """CREATE UNIQUE INDEX relationship_renew_once ON relationship (from_id)
        WHERE type = 'authorisation' AND may_renew = 1""",
    """CREATE UNIQUE INDEX relationship_pay_once ON relationship (from_id)
        WHERE type = 'authorisation' AND may_pay = 1""",
)

STOCK = (
    f"""CREATE TABLE item (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        title_id TEXT,
        author TEXT,
        media_type TEXT,
        material TEXT,
        owner_branch TEXT,
        current_branch TEXT,
        shelf TEXT,
        call_number TEXT,
        {flag("for_loan", 1)},
        loan_days INTEGER NOT NULL DEFAULT 21,
        max_renewals INTEGER NOT NULL DEFAULT 2,
        checkout_fee BIGINT,
        overdue_fee_per_day BIGINT,
        {flag("magnetic")},
        security_marker TEXT,
        note TEXT,
        attachment TEXT,
        status TEXT NOT NULL DEFAULT 'available' CHECK
            (status IN ('available', 'in_transit', 'lost', 'missing', 'in_process')),
        properties TEXT)""",
    "CREATE INDEX item_title ON item (title_id)",
    """CREATE TABLE loan (
        item_id TEXT PRIMARY KEY REFERENCES item (id),
        patron_id TEXT NOT NULL REFERENCES patron (id),
        checked_out TEXT NOT NULL,
        due TEXT NOT NULL,
        renewals INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX loan_patron ON loan (patron_id)",
    f"""CREATE TABLE hold (
        id TEXT PRIMARY KEY,
        patron_id TEXT NOT NULL REFERENCES patron (id),
        item_id TEXT REFERENCES item (id),
        title_id TEXT,
        placed TEXT NOT NULL,
        pickup_branch TEXT,
        {flag("ready")},
        expires TEXT,
        CHECK (item_id IS NOT NULL OR title_id IS NOT NULL))""",
    "CREATE INDEX hold_patron ON hold (patron_id)",
    "CREATE INDEX hold_item ON hold (item_id)",
)

OPERATION = (
    """CREATE TABLE access_log (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        branch TEXT NOT NULL,
        terminal TEXT NOT NULL,
        decision TEXT NOT NULL,
        reason TEXT NOT NULL,
        mode TEXT NOT NULL,
        checks TEXT NOT NULL,
        patron_id TEXT,
        direction TEXT NOT NULL)""",
    """CREATE TABLE store_version (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        version BIGINT NOT NULL)""",
    "INSERT INTO store_version (id, version) VALUES (1, 0)",
    """CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL)""",
)

DOORS = (
    """CREATE TABLE presence (
        branch TEXT NOT NULL,
        patron_id TEXT NOT NULL,
        terminal TEXT NOT NULL,
        since TEXT NOT NULL,
        ends TEXT NOT NULL,
        PRIMARY KEY (branch, patron_id))""",
    """CREATE TABLE door_entry (
        card TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('bar', 'pass')),
        branch TEXT NOT NULL,
        valid_until TEXT,
        weekdays TEXT NOT NULL,
        start_minute INTEGER NOT NULL,
        end_minute INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (card, kind, branch))""",
    """CREATE TABLE reveal (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        user_name TEXT NOT NULL,
        branch TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        people BIGINT NOT NULL)""",
)

CALENDAR_CHANGES = (
    """CREATE TABLE calendar_change (
        branch TEXT NOT NULL,
        position INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('closed', 'unstaffed', 'as_configured')),
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        reason TEXT NOT NULL,
        user_name TEXT NOT NULL,
        PRIMARY KEY (branch, position))""",
)
"""What staff changed of today's hours. `position` counts up; the last one of a branch counts."""

CIRCULATION = (
    "DROP INDEX hold_item",
    "CREATE INDEX hold_queue_item ON hold (item_id, ready DESC, placed, id)",
    """CREATE INDEX hold_queue_title ON hold (title_id, ready DESC, placed, id)
        WHERE item_id IS NULL""",
    """CREATE TABLE circulation (
        item_id TEXT NOT NULL REFERENCES item (id),
        key TEXT NOT NULL,
        terminal TEXT NOT NULL,
        code TEXT NOT NULL,
        patron_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        expires TEXT NOT NULL,
        outcome TEXT NOT NULL,
        before TEXT NOT NULL,
        PRIMARY KEY (item_id, key))""",
    """CREATE UNIQUE INDEX circulation_order ON circulation (item_id, position)
        WHERE position > 0""",
    """CREATE TABLE review (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        terminal TEXT NOT NULL,
        code TEXT NOT NULL,
        item_id TEXT NOT NULL,
        patron_id TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused')),
        reasons TEXT NOT NULL)""",
)

THEIRS = ("ALTER TABLE access_log ADD COLUMN theirs TEXT NOT NULL DEFAULT ''",)
"""What a library system decided where we only observe; empty where we decided."""

HISTORY = (
    """CREATE TABLE borrowed (
        patron_id TEXT NOT NULL REFERENCES patron (id),
        work TEXT NOT NULL,
        until TEXT NOT NULL,
        PRIMARY KEY (patron_id, work))""",
    "CREATE INDEX borrowed_until ON borrowed (until)",
)

LOGINS = (
    """CREATE TABLE known_login (
        login TEXT PRIMARY KEY,
        digest TEXT NOT NULL)""",
)

PATRONS_FAILURES = (
    """CREATE TABLE pin_failure (
        patron_id TEXT PRIMARY KEY REFERENCES patron (id) ON DELETE CASCADE,
        failures INTEGER NOT NULL CHECK (failures > 0),
        locked_until TEXT)""",
    """INSERT INTO pin_failure (patron_id, failures, locked_until)
    SELECT c.patron_id, MAX(a.failures), MAX(a.locked_until)
    FROM pin_attempt a JOIN card c ON c.number = a.card_number GROUP BY c.patron_id""",
    "DROP TABLE pin_attempt",
)

DOERS = ("ALTER TABLE circulation ADD COLUMN attempt TEXT NOT NULL DEFAULT ''",)
"""Which attempt did it: under the same key it may have been an earlier one."""

JOURNAL = (
    """CREATE TABLE journal (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        happened TEXT NOT NULL,
        account TEXT NOT NULL,
        terminal TEXT NOT NULL,
        message TEXT NOT NULL CHECK (message IN ('09', '11')),
        item TEXT NOT NULL,
        patron TEXT NOT NULL,
        key TEXT NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'done', 'conflict', 'unknown')),
        tries INTEGER NOT NULL,
        lease TEXT,
        leased_until TEXT,
        expires TEXT)""",
    "CREATE INDEX journal_next ON journal (account, happened, id) WHERE state = 'open'",
    "CREATE INDEX journal_item ON journal (item, id) WHERE state = 'open'",
    "CREATE INDEX journal_ended ON journal (expires) WHERE expires IS NOT NULL",
)
"""Loans and returns that were taken while a library system was away, and what became of them. No
row refers to a patron: only the library system knows them all."""

CHANGED_PARTS = (
    "ALTER TABLE store_version ADD COLUMN whole BIGINT NOT NULL DEFAULT 0",
    "UPDATE store_version SET whole = version",
    """CREATE TABLE changed_part (
        part INTEGER PRIMARY KEY,
        version BIGINT NOT NULL)""",
)
"""At which version anything may have changed, and at which only some patrons. Many patrons share a
part (`sqlite.cache`), so that the table names nobody and does not grow."""

DOOR_LOG_IN_ORDER = ("CREATE INDEX access_log_time ON access_log (time, id)",)
"""The order in which it is listed. That of the ids is nearly the same, but no more than that: they
are made when rows are written, by gateways whose clocks differ."""
