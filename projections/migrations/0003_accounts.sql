-- schema: accounts
-- Accounts as they stand.

CREATE TABLE accounts (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    name text,
    email text,
    currency text,
    time_zone text NOT NULL,
    status text NOT NULL,
    origin text,
    registered_at timestamptz NOT NULL,
    closed_at timestamptz,
    version bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, account)
);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['accounts'] LOOP
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
