-- schema: balances
-- What the postings add up to, in minor units. numeric, because a sum of many amounts may outgrow a bigint.

CREATE TABLE balances (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    ledger_account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    debits numeric NOT NULL,
    credits numeric NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, account, ledger_account, currency)
) WITH (fillfactor = 80);

CREATE TABLE totals (
    book uuid NOT NULL,
    ledger_account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    debits numeric NOT NULL,
    credits numeric NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, ledger_account, currency)
) WITH (fillfactor = 80);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['balances', 'totals'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY app_own_book ON %I FOR SELECT TO daybook_app '
            'USING (book = (SELECT nullif(current_setting(''daybook.book'', true), '''')::uuid))', name
        );
        EXECUTE format('CREATE POLICY follower_all_books ON %I TO daybook_follower USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO daybook_app', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO daybook_follower', name);
    END LOOP;
END
$$;
