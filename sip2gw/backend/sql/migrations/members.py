"""Memberships through the year: their keys, maintenance, notices, badges, who left."""

from __future__ import annotations

from sip2gw.backend.sql.migrations.columns import flag

MEMBERSHIP_KEYS = (
    *(
        f"ALTER TABLE membership ADD COLUMN {column}"
        for column in (
            flag("refund"),
            "alert_period_days INTEGER NOT NULL DEFAULT 5",
            "alert_repeat_days INTEGER",
            flag("age_alert"),
            flag("birth_month_expiry"),
            flag("punch_card"),
            "linked_memberships TEXT NOT NULL DEFAULT '[]'",
            "hold_limit BIGINT",
            "internet_registration_limit BIGINT",
            "invoicing_method INTEGER",
            "registration_term_months INTEGER",
            "fee_reminder_months INTEGER",
            "fee_delinquent_months INTEGER",
            "fee_delete_months INTEGER",
            "materials TEXT NOT NULL DEFAULT '[]'",
            "grace_days INTEGER NOT NULL DEFAULT 0",
            "overdue_fee_max BIGINT",
            "fixed_expiration_month INTEGER",
            "invoice_description TEXT",
            "sorting_position INTEGER NOT NULL DEFAULT 0",
            "info_url TEXT",
        )
    ),
    "ALTER TABLE item ADD COLUMN overdue_fee_max BIGINT",
    "ALTER TABLE item ADD COLUMN minimum_age INTEGER",
)
"""The keys of C144, C160 and C167, and what is left of the Wise screen."""

MAINTENANCE = (
    "ALTER TABLE patron ADD COLUMN status_fee TEXT",
    """CREATE TABLE membership_fee (
        patron_id TEXT NOT NULL REFERENCES patron (id) ON DELETE CASCADE,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        fee_id TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)),
        PRIMARY KEY (patron_id, since))""",
    """CREATE TABLE notice_given (
        patron_id TEXT NOT NULL REFERENCES patron (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        cause TEXT NOT NULL,
        day TEXT NOT NULL,
        PRIMARY KEY (patron_id, kind, cause))""",
    """CREATE TABLE activity (
        patron_id TEXT PRIMARY KEY REFERENCES patron (id) ON DELETE CASCADE,
        day TEXT NOT NULL)""",
    """INSERT INTO activity (patron_id, day)
    SELECT x.patron_id, MAX(x.day) FROM
        (SELECT payer_id AS patron_id, SUBSTR(time, 1, 10) AS day FROM payment
         WHERE status IN ('booked', 'undone')
         UNION ALL
         SELECT patron_id, SUBSTR(time, 1, 10) FROM access_log
         WHERE decision = 'granted' AND patron_id IS NOT NULL
         UNION ALL
         SELECT patron_id, SUBSTR(until, 1, 10) FROM borrowed) x
    JOIN patron p ON p.id = x.patron_id GROUP BY x.patron_id""",
    """INSERT INTO setting (name, value)
    SELECT 'activity_since', CAST(CURRENT_DATE AS TEXT) WHERE EXISTS (SELECT 1 FROM patron)""",
)
"""Which fee maintenance has set a status for, its fees by period, the notices that it has given,
and when each patron was last active. Of patrons who were there before, nobody knows since when
they had not been active: it counts from the day of this migration (`activity_since`)."""

OUTBOX = (
    """CREATE TABLE outbox (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        patron_id TEXT NOT NULL,
        cause TEXT NOT NULL,
        details TEXT NOT NULL,
        created TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting'
            CHECK (state IN ('waiting', 'sent', 'failed', 'undeliverable')),
        attempts INTEGER NOT NULL DEFAULT 0,
        first_try TEXT,
        last_try TEXT,
        next_try TEXT NOT NULL,
        channel TEXT CHECK (channel IN ('email', 'webhook')),
        recipient TEXT,
        message_id TEXT,
        lease TEXT,
        leased_until TEXT,
        ended TEXT,
        problem TEXT NOT NULL DEFAULT '',
        CHECK ((state = 'waiting') = (ended IS NULL)))""",
    "CREATE INDEX outbox_waiting ON outbox (next_try, id) WHERE state = 'waiting'",
    "CREATE INDEX outbox_ended ON outbox (ended) WHERE ended IS NOT NULL",
    "CREATE INDEX outbox_patron ON outbox (patron_id)",
    """CREATE TABLE outbox_forgotten (
        id TEXT PRIMARY KEY,
        ended TEXT NOT NULL)""",
)
"""Notices to patrons, and the ids of those that were forgotten. The address is the patron's until
the first attempt; `lease` is the process that is delivering, until `leased_until`."""

PRIVACY = (
    "ALTER TABLE patron ADD COLUMN ended_on TEXT",
    "ALTER TABLE patron ADD COLUMN forgotten_on TEXT",
    "ALTER TABLE patron ADD COLUMN forgotten_as TEXT",
    "CREATE INDEX patron_forgotten_as ON patron (id) WHERE forgotten_as IS NOT NULL",
)
"""Of a patron: since when a complete import no longer has them; of a stub, which has an id and
nothing else: since when it stands for somebody who was forgotten; and, only while the transaction
runs that forgets a patron, the id of the stub that takes their place (C146)."""

BADGE_HISTORY = (
    "ALTER TABLE badge ADD COLUMN valid_from TEXT",
    "ALTER TABLE badge ADD COLUMN valid_until TEXT",
    "ALTER TABLE patron ADD COLUMN merged_into TEXT",
    "CREATE INDEX patron_merged ON patron (merged_into) WHERE merged_into IS NOT NULL",
    """CREATE TABLE badge_change (
        patron_id TEXT NOT NULL,
        badge_code TEXT NOT NULL,
        id TEXT NOT NULL,
        time TEXT NOT NULL,
        user_name TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('assigned', 'changed', 'unassigned')),
        valid_from TEXT,
        valid_until TEXT,
        branches TEXT NOT NULL,
        reason TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('import', 'staff', 'merge')),
        PRIMARY KEY (patron_id, badge_code, id))""",
)
"""A patron that was merged into another stays as an empty row for the ledger (`sql.stubs`). Changes
are in the order of assignments, so that an import adds both quickly; `id` is one for all changes
that were made together."""

GUESSES = (
    """CREATE TABLE guess (
        key TEXT PRIMARY KEY,
        failures INTEGER NOT NULL CHECK (failures >= 0),
        locked_until TEXT,
        kept_until TEXT NOT NULL)""",
    "CREATE INDEX guess_kept ON guess (kept_until)",
)
"""By a keyed digest of the card number: `pin_failure` holds only patrons whom our store knows."""

GUESSES_TOGETHER = (
    "ALTER TABLE guess ADD COLUMN together TEXT",
    "CREATE INDEX guess_together ON guess (together) WHERE together IS NOT NULL",
)
"""The numbers of one patron have the key of one of them; only while they are counted."""

PROPOSERS = (
    """ALTER TABLE relationship ADD COLUMN proposed_by TEXT NOT NULL DEFAULT 'staff'
        CHECK (proposed_by IN ('from', 'to', 'staff'))""",
)
"""Nobody knows who proposed what is there already: staff confirm what of it is unconfirmed (B50),
or the authoriser proposes it again."""

PIN_ORIGIN = ("ALTER TABLE patron ADD COLUMN pin_origin TEXT",)
"""A digest of the imported hash that `pin_hash` is, or was made from at the first right PIN: the
same hash in the next import changes nothing."""
