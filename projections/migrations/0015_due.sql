-- schema: due
-- What is due next, one row for each thing that something happens to at a known instant, and the books whose
-- clock was set. due_at is null while the subject is paused; next_at is what it goes on with.

CREATE TABLE due (
    book uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    account text COLLATE "C",
    due_at timestamptz,
    next_at timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (book, kind, subject)
);
CREATE INDEX due_next ON due (book, due_at, kind, subject) WHERE due_at IS NOT NULL;

CREATE TABLE clocks (
    book uuid NOT NULL PRIMARY KEY,
    now_at timestamptz NOT NULL,
    position bigint NOT NULL
);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['due', 'clocks'] LOOP
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
-- What is over goes: nothing will ever be due of it.
GRANT DELETE ON due TO daybook_follower;
