-- schema: corrections
-- What was corrected of usage: at its position, the event at position `original` was made void, or got other
-- facts. No quantity means that it was void, or is. Rows are only ever added: measuring up to a position takes
-- those up to it.

CREATE TABLE corrections (
    book uuid NOT NULL,
    position bigint NOT NULL,
    account text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    used_at timestamptz NOT NULL,
    original bigint NOT NULL,
    was_quantity numeric,
    was_properties text,
    was_digest text,
    quantity numeric,
    properties text,
    digest text,
    PRIMARY KEY (book, position)
);
CREATE INDEX corrections_used ON corrections (book, account, meter, used_at);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['corrections'] LOOP
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
