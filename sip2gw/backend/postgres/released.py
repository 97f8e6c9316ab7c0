"""Functions as released migrations made them; `derived` in `dialect` replaces them at once.

A released migration must always execute what it executed when it was released.
"""

from __future__ import annotations

BOOK_PAYMENT_1 = """
CREATE FUNCTION book_payment(
    p_version BIGINT, p_parties TEXT[], p_owed TEXT,
    p_terminal TEXT, p_key TEXT, p_content TEXT, p_expires TEXT,
    p_id TEXT, p_time TEXT, p_payer TEXT, p_amount BIGINT, p_currency TEXT, p_type TEXT,
    p_bk TEXT, p_status TEXT, p_texts TEXT, p_card TEXT,
    p_accounts TEXT[], p_amounts BIGINT[], p_fees TEXT[], p_debtors TEXT[], p_relations TEXT[])
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(5120194301);
    PERFORM 1 FROM patron WHERE id = ANY (p_parties) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM payment k
               WHERE k.terminal = p_terminal AND k.key = p_key AND k.key_expires > p_time)
       OR p_version <> (SELECT version FROM store_version WHERE id = 1)
       OR p_owed <> (
            SELECT COALESCE(string_agg(o.id || ' ' || o.owed, E'\\n' ORDER BY o.id), '')
            FROM (SELECT f.id, (SELECT SUM(e.amount) FROM ledger_entry e
                                WHERE e.fee_id = f.id) AS owed
                  FROM fee f WHERE f.patron_id = ANY (p_parties)) o
            WHERE o.owed <> 0)
    THEN
        RETURN FALSE;
    END IF;
    UPDATE payment SET key = NULL
    WHERE terminal = p_terminal AND key = p_key AND key_expires <= p_time;
    INSERT INTO payment (id, time, terminal, payer_id, amount, currency, payment_type, bk, status,
                         texts, key, content, key_expires, card)
    VALUES (p_id, p_time, p_terminal, p_payer, p_amount, p_currency, p_type, p_bk, p_status,
            p_texts, p_key, p_content, p_expires, p_card)
    ON CONFLICT (terminal, key) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key was taken meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger_transaction (id, time, kind, payment_id)
    VALUES (p_id, p_time, 'payment', p_id);
    INSERT INTO ledger_entry (transaction_id, position, account, amount, fee_id, debtor_id,
                              relation)
    SELECT p_id, n.place - 1, n.account, n.amount, n.fee, n.debtor, n.relation
    FROM unnest(p_accounts, p_amounts, p_fees, p_debtors, p_relations) WITH ORDINALITY
        AS n (account, amount, fee, debtor, relation, place);
    RETURN TRUE;
END $$"""
"""As of schema 6."""

ENTER_BRANCH_2 = """
CREATE FUNCTION enter_branch(
    p_branch TEXT, p_passage TEXT, p_patron TEXT, p_now TEXT, p_ends TEXT, p_same_since TEXT,
    p_capacity BIGINT, p_refuse_inside BOOLEAN, OUT o_others BIGINT, OUT o_inside BIGINT)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sip2gw presence'), hashtext(p_branch));
    DELETE FROM presence WHERE branch = p_branch AND ends <= p_now;
    SELECT COUNT(*) FILTER (WHERE patron_id <> p_patron),
           COUNT(*) FILTER (WHERE patron_id = p_patron
                            AND NOT (passage = p_passage AND since > p_same_since))
    INTO o_others, o_inside FROM presence WHERE branch = p_branch;
    IF (p_capacity = 0 OR o_others < p_capacity) AND NOT (p_refuse_inside AND o_inside > 0) THEN
        INSERT INTO presence (branch, patron_id, passage, since, ends)
        VALUES (p_branch, p_patron, p_passage, p_now, p_ends)
        ON CONFLICT (branch, patron_id) DO UPDATE
        SET passage = excluded.passage, since = excluded.since, ends = excluded.ends;
    END IF;
END $$"""
"""Migration 4 makes it anew: `passage` was `terminal` before."""
