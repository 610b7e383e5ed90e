-- schema: usage
-- How much of each meter each account used on each day, in UTC. Room is left on the pages, so that an update
-- of a day that is still going on touches no index.

CREATE TABLE totals (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    day date NOT NULL,
    quantity numeric NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (book, account, meter, day)
) WITH (fillfactor = 70);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['totals'] LOOP
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
