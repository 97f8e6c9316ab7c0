"""Fees, payments and the ledger, and what guards it."""

from __future__ import annotations

FEES_AND_LEDGER = (
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

REFUSED_PAYMENTS = (
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

ATTEMPTS = (
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

SENDINGS = ("ALTER TABLE review ADD COLUMN account TEXT",)
"""The account at the library system that was asked; none for what was asked of our store."""

SHARES = (
    """CREATE TABLE payment_share (
        payment_id TEXT NOT NULL REFERENCES payment (id),
        position BIGINT NOT NULL,
        account TEXT NOT NULL,
        debtor_id TEXT NOT NULL REFERENCES patron (id),
        card TEXT NOT NULL,
        relation TEXT NOT NULL,
        fee_id TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        till TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'booked', 'refused')),
        sent TEXT,
        ended TEXT,
        settled TEXT,
        resolved TEXT,
        owed_before BIGINT,
        lines_before TEXT,
        owed_after BIGINT,
        proposal TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (payment_id, position))""",
    "CREATE INDEX payment_share_sent ON payment_share (sent) WHERE state = 'sent'",
    "CREATE INDEX payment_share_debtor ON payment_share (debtor_id, ended)",
)
"""What of a payment goes up to a library system, one 37 each: for whom, when, what they owed before
and when it was looked at. `settled`: somebody had to look what became of it."""

SHARES_TOLD = (
    "ALTER TABLE payment_share ADD COLUMN key TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE payment_share ADD COLUMN doubt INTEGER NOT NULL DEFAULT 0"
    " CHECK (doubt IN (0, 1, 2))",
    "CREATE INDEX payment_share_doubt ON payment_share (payment_id) WHERE doubt = 1",
)
"""Under which key it was paid, for a retry after it was refused; whether staff are to be told of
it (1) or were told (2)."""

EXPORTS = (
    "ALTER TABLE payment_share ADD COLUMN kept TEXT CHECK (kept IN ('fee', 'sum'))",
    "ALTER TABLE payment_share ADD COLUMN exported TEXT",
    """CREATE INDEX payment_share_pending ON payment_share (debtor_id)
        WHERE kept IS NOT NULL AND exported IS NULL""",
)
"""`kept`: the share does not go up, because the library system takes no 37; what it lowers until
staff have told them, which is when it was `exported` (C124)."""

PAYMENTS_IN_ORDER = ("CREATE INDEX payment_time ON payment (time, id)",)
"""The order in which they are listed."""

SHARES_OF_DEBTOR = (
    "DROP INDEX payment_share_debtor",
    "CREATE INDEX payment_share_debtor ON payment_share (debtor_id)",
)
"""Without the moment at which a share ended: nobody has so many, and noting that moment moved an
entry of the index in every payment."""

SHARES_STILL_ON_LISTS = (
    "DROP INDEX payment_share_debtor",
    "DROP INDEX payment_share_sent",
    """CREATE INDEX payment_share_open ON payment_share (debtor_id)
        WHERE state = 'sent' OR state = 'planned'""",
    """CREATE INDEX payment_share_ended ON payment_share (ended, debtor_id)
        WHERE ended IS NOT NULL""",
)
"""What a list of the library system may still have of a debtor: the few shares that are open, and
the few that ended since. So whoever has paid for years pays as fast as on the first day, and what
is booked goes to the end of an index, not somewhere into it."""

NUMBERS_TAKEN_OVER = (
    "CREATE INDEX payment_taken_over ON payment (terminal, bk) WHERE key IS NULL",
)
"""Who had a receipt number before: of few payments, so that booking costs no more."""

REKEYED_DEBTOR = """EXISTS (SELECT 1 FROM patron p JOIN patron s ON s.id = p.forgotten_as
        WHERE p.id = OLD.debtor_id AND s.id = NEW.debtor_id AND s.forgotten_on IS NOT NULL)"""

REKEYED_ACCOUNT = """CASE OLD.account
        WHEN 'surplus:' || OLD.debtor_id THEN 'surplus:' || NEW.debtor_id
        WHEN 'refund:' || OLD.debtor_id THEN 'refund:' || NEW.debtor_id
        ELSE OLD.account END"""

GUARDED_IN_ENTRIES = ("transaction_id", "position", "amount", "fee_id", "relation")
"""Since migration 19 an entry of the ledger may change in one way: its debtor becomes the stub that
takes their place, and with them the account that is named after them. All the rest stays."""
