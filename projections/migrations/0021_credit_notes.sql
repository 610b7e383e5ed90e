-- schema: billing
-- Credit notes: what of an invoice was given back, where it went, in minor units; lines are read from the log.

CREATE TABLE credit_notes (
    book uuid NOT NULL,
    credit_note text COLLATE "C" NOT NULL,
    invoice text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    subscription text,
    kind text NOT NULL,
    number text NOT NULL,
    issued_on date NOT NULL,
    currency text NOT NULL,
    net_total bigint NOT NULL,
    tax_total bigint NOT NULL,
    total bigint NOT NULL,
    applied_to_invoice bigint NOT NULL,
    credited_to_account bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, credit_note)
);
CREATE INDEX credit_notes_account ON credit_notes (book, account, position);
CREATE INDEX credit_notes_invoice ON credit_notes (book, invoice, position);

ALTER TABLE credit_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE credit_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON credit_notes FOR SELECT TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid));
CREATE POLICY follower_all_books ON credit_notes TO daybook_follower USING (true) WITH CHECK (true);
GRANT SELECT ON credit_notes TO daybook_app;
GRANT SELECT, INSERT, UPDATE ON credit_notes TO daybook_follower;
