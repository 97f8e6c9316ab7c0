"""The tables, as numbered migrations.

Amounts are minor units (BIGINT), times UTC text, dates ISO text, lists JSON text, flags 0/1. The
schema itself enforces the invariants: one open loan per item, one head per child, each function of
an account given once, one payment per key, foreign keys everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NewCheck:
    """The CHECK of one column replaced by another that all rows pass, too."""

    table: str
    column: str
    before: str
    """As it stands in the schema, character by character."""
    after: str


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    `append_only` names tables whose rows never change afterwards, `checks` what columns may hold
    from now on.
    """

    number: int
    title: str
    statements: tuple[str, ...]
    append_only: tuple[str, ...] = ()
    checks: tuple[NewCheck, ...] = ()


def _flag(name: str, default: int = 0) -> str:
    return f"{name} INTEGER NOT NULL DEFAULT {default} CHECK ({name} IN (0, 1))"


_PEOPLE = (
    f"""CREATE TABLE membership (
        code TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        type INTEGER NOT NULL CHECK (type BETWEEN 0 AND 8),
        customer_group TEXT,
        minimum_age INTEGER,
        maximum_age INTEGER,
        max_items INTEGER NOT NULL DEFAULT 0,
        max_holds INTEGER NOT NULL DEFAULT 0,
        {_flag("holds_permitted", 1)},
        max_fees_self_service BIGINT,
        max_fees_desk BIGINT,
        alert_amount BIGINT,
        {_flag("fines_via_invoice")},
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
        {_flag("hidden")},
        {_flag("outgoing")},
        {_flag("guest_lending")},
        {_flag("automatic_renewal")},
        {_flag("allow_pin_reset")},
        {_flag("no_card_replacement_fee")},
        statistical_code TEXT,
        reporting_group TEXT,
        book_code TEXT,
        info TEXT)""",
    f"""CREATE TABLE badge (
        code TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT '',
        {_flag("active", 1)},
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
        {_flag("may_renew")},
        {_flag("may_pay")},
        {_flag("confirmed", 1)},
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

_STOCK = (
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
        {_flag("for_loan", 1)},
        loan_days INTEGER NOT NULL DEFAULT 21,
        max_renewals INTEGER NOT NULL DEFAULT 2,
        checkout_fee BIGINT,
        overdue_fee_per_day BIGINT,
        {_flag("magnetic")},
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
        {_flag("ready")},
        expires TEXT,
        CHECK (item_id IS NOT NULL OR title_id IS NOT NULL))""",
    "CREATE INDEX hold_patron ON hold (patron_id)",
    "CREATE INDEX hold_item ON hold (item_id)",
)

_MONEY = (
    """CREATE TABLE fee (
        id TEXT PRIMARY KEY,
        patron_id TEXT NOT NULL REFERENCES patron (id),
        amount BIGINT NOT NULL CHECK (amount >= 0),
        created TEXT NOT NULL,
        type TEXT NOT NULL DEFAULT '04',
        description TEXT NOT NULL DEFAULT '',
        item_id TEXT REFERENCES item (id),
        status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'I', 'J', 'D', 'R')),
        arrangement_date TEXT)""",
    "CREATE INDEX fee_patron ON fee (patron_id)",
    """CREATE TABLE payment (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        terminal TEXT NOT NULL,
        payer_id TEXT NOT NULL REFERENCES patron (id),
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        payment_type TEXT NOT NULL,
        bk TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('booked', 'unknown', 'undone')),
        texts TEXT NOT NULL DEFAULT '[]',
        key TEXT,
        content TEXT NOT NULL,
        key_expires TEXT NOT NULL,
        card TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX payment_key ON payment (terminal, key)",
    """CREATE TABLE ledger_transaction (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('opening', 'adjustment', 'payment', 'undo')),
        payment_id TEXT REFERENCES payment (id))""",
    """CREATE TABLE ledger_entry (
        transaction_id TEXT NOT NULL REFERENCES ledger_transaction (id),
        position BIGINT NOT NULL,
        account TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount <> 0),
        fee_id TEXT REFERENCES fee (id),
        debtor_id TEXT REFERENCES patron (id),
        relation TEXT,
        PRIMARY KEY (transaction_id, position))""",
    """CREATE INDEX ledger_entry_fee ON ledger_entry (fee_id, amount)
        WHERE fee_id IS NOT NULL""",
)

_OPERATION = (
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

_DOORS = (
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

_CIRCULATION = (
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

_HISTORY = (
    """CREATE TABLE borrowed (
        patron_id TEXT NOT NULL REFERENCES patron (id),
        work TEXT NOT NULL,
        until TEXT NOT NULL,
        PRIMARY KEY (patron_id, work))""",
    "CREATE INDEX borrowed_until ON borrowed (until)",
)

_REVIEWS = (
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

LEDGER_KINDS = """CHECK (kind IN
            ('opening', 'adjustment', 'payment', 'undo', 'surplus', 'refund'))"""
"""Since migration 9."""

FEE_WITH_CREDITS = """CREATE TABLE fee (
        id TEXT PRIMARY KEY,
        patron_id TEXT NOT NULL REFERENCES patron (id),
        amount BIGINT NOT NULL,
        created TEXT NOT NULL,
        type TEXT NOT NULL DEFAULT '04',
        description TEXT NOT NULL DEFAULT '',
        item_id TEXT REFERENCES item (id),
        status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'I', 'J', 'D', 'R')),
        arrangement_date TEXT)"""
FEE_INDEX = "CREATE INDEX fee_patron ON fee (patron_id)"
LEDGER_TRANSACTION_WITH_SURPLUS = f"""CREATE TABLE ledger_transaction (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        kind TEXT NOT NULL {LEDGER_KINDS},
        payment_id TEXT REFERENCES payment (id))"""
"""What migration 9 makes of the two tables; PostgreSQL only changes their constraints."""


_REFUSED_PAYMENTS = (
    # None for payments that were booked before; then our own time decides (C105).
    "ALTER TABLE payment ADD COLUMN transacted TEXT",
    """CREATE TABLE refused_payment (
        id TEXT PRIMARY KEY,
        time TEXT NOT NULL,
        terminal TEXT NOT NULL,
        day TEXT NOT NULL,
        payer TEXT NOT NULL,
        amount TEXT NOT NULL,
        currency TEXT NOT NULL,
        payment_type TEXT NOT NULL,
        bk TEXT NOT NULL,
        reason TEXT NOT NULL)""",
    "CREATE INDEX refused_payment_day ON refused_payment (terminal, day)",
    "CREATE INDEX refused_payment_time ON refused_payment (time)",
    """CREATE TABLE refused_more (
        terminal TEXT NOT NULL,
        day TEXT NOT NULL,
        time TEXT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (terminal, day))""",
)

_LOGINS = (
    """CREATE TABLE known_login (
        login TEXT PRIMARY KEY,
        digest TEXT NOT NULL)""",
)

_PATRONS_FAILURES = (
    """CREATE TABLE pin_failure (
        patron_id TEXT PRIMARY KEY REFERENCES patron (id) ON DELETE CASCADE,
        failures INTEGER NOT NULL CHECK (failures > 0),
        locked_until TEXT)""",
    """INSERT INTO pin_failure (patron_id, failures, locked_until)
    SELECT c.patron_id, MAX(a.failures), MAX(a.locked_until)
    FROM pin_attempt a JOIN card c ON c.number = a.card_number GROUP BY c.patron_id""",
    "DROP TABLE pin_attempt",
)

_ATTEMPTS = (
    """CREATE TABLE attempt (
        id TEXT PRIMARY KEY REFERENCES payment (id),
        key TEXT NOT NULL,
        owed BIGINT,
        settled TEXT,
        resolved TEXT,
        note TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX attempt_open ON attempt (id) WHERE settled IS NULL",
    "ALTER TABLE review ADD COLUMN key TEXT",
    "CREATE INDEX review_unknown ON review (id) WHERE outcome = 'unknown'",
)
"""Of payments that were answered with "not sure": under which key, what was owed then, when they
were settled, and when the terminal asked again and was told yes. The payment itself says how it
ended: `unknown` until it is settled, then `refused` if it was not booked. An entry for review of
unknown outcome has the key under which it was to be done."""

_DOERS = ("ALTER TABLE circulation ADD COLUMN attempt TEXT NOT NULL DEFAULT ''",)
"""Which attempt did it: under the same key it may have been an earlier one."""

_MAINTENANCE = (
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

_OUTBOX = (
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

_MEMBERSHIP_KEYS = (
    *(
        f"ALTER TABLE membership ADD COLUMN {column}"
        for column in (
            _flag("refund"),
            "alert_period_days INTEGER NOT NULL DEFAULT 5",
            "alert_repeat_days INTEGER",
            _flag("age_alert"),
            _flag("birth_month_expiry"),
            _flag("punch_card"),
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

_SUPPORT = (
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
_PRIVACY = (
    "ALTER TABLE patron ADD COLUMN ended_on TEXT",
    "ALTER TABLE patron ADD COLUMN forgotten_on TEXT",
    "ALTER TABLE patron ADD COLUMN forgotten_as TEXT",
    "CREATE INDEX patron_forgotten_as ON patron (id) WHERE forgotten_as IS NOT NULL",
)
"""Of a patron: since when a complete import no longer has them; of a stub, which has an id and
nothing else: since when it stands for somebody who was forgotten; and, only while the transaction
runs that forgets a patron, the id of the stub that takes their place (C146)."""

REKEYED_DEBTOR = """EXISTS (SELECT 1 FROM patron p JOIN patron s ON s.id = p.forgotten_as
        WHERE p.id = OLD.debtor_id AND s.id = NEW.debtor_id AND s.forgotten_on IS NOT NULL)"""
REKEYED_ACCOUNT = """CASE OLD.account
        WHEN 'surplus:' || OLD.debtor_id THEN 'surplus:' || NEW.debtor_id
        WHEN 'refund:' || OLD.debtor_id THEN 'refund:' || NEW.debtor_id
        ELSE OLD.account END"""
GUARDED_IN_ENTRIES = ("transaction_id", "position", "amount", "fee_id", "relation")
"""Since migration 19 an entry of the ledger may change in one way: its debtor becomes the stub that
takes their place, and with them the account that is named after them. All the rest stays."""

_FOLLOW_UPS = (
    "ALTER TABLE block ADD COLUMN terminal TEXT",
    "ALTER TABLE block ADD COLUMN card TEXT",
    f"ALTER TABLE block ADD COLUMN {_flag('told', 1)}",
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
_BADGE_HISTORY = (
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

_PAYMENT_STATUS = NewCheck(
    "payment",
    "status",
    "status IN ('booked', 'unknown', 'undone')",
    "status IN ('booked', 'unknown', 'refused', 'undone')",
)

MIGRATIONS = (
    Migration(
        1,
        "the library, its money and the door log",
        _PEOPLE + _STOCK + _MONEY + _OPERATION,
        append_only=("ledger_transaction", "ledger_entry"),
    ),
    Migration(2, "who is inside, the doors' lists, who asked for names", _DOORS, ("reveal",)),
    Migration(3, "the queues of holds, transactions to repeat or cancel, reviews", _CIRCULATION),
    Migration(
        4, "a passage is a door and a card", ("ALTER TABLE presence RENAME terminal TO passage",)
    ),
    Migration(5, "what is lost among a patron's loans", ()),
    Migration(6, "who borrowed what lately, where the library wants to know", _HISTORY),
    Migration(7, "what a person has to look at, and what became of it", _REVIEWS),
    Migration(8, "whether somebody has had a copy since; holds put back with their terms", ()),
    Migration(9, "credits; what was paid too much, and given back", ()),
    Migration(10, "refused payments, and when a terminal says it took money", _REFUSED_PAYMENTS),
    Migration(11, "terminals whose password was right", _LOGINS),
    Migration(12, "wrong PINs counted for the patron, whatever the card", _PATRONS_FAILURES),
    Migration(13, "what nobody knew whether it was done", _ATTEMPTS, checks=(_PAYMENT_STATUS,)),
    Migration(14, "which attempt a transaction was", _DOERS),
    Migration(
        15,
        "memberships: all keys; items: from what age, what a late return costs at most",
        _MEMBERSHIP_KEYS,
    ),
    Migration(16, "account maintenance: fees, notices given, last activity", _MAINTENANCE),
    Migration(17, "notices to patrons", _OUTBOX),
    Migration(18, "what people follow up: customer support", _SUPPORT),
    Migration(19, "patrons who are ended, and stubs for those who are forgotten", _PRIVACY),
    Migration(20, "what the gateway tells staff by itself, and what they answer", _FOLLOW_UPS),
    Migration(21, "a badge's own days, who assigned it when and why; merges", _BADGE_HISTORY),
)

SCHEMA_NUMBER = MIGRATIONS[-1].number
"""The schema that this program reads and writes."""
