-- schema: timeline
-- The life of each account: one row an event, and usage folded into runs. A run is of one account, meter and
-- hour (of occurred_at, in UTC), and holds at most 1,000 events in log order: its bounds never depend on how
-- events were read. It stands on the timeline at its first position.

CREATE TABLE entries (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    topic text NOT NULL,
    occurred_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (book, account, position)
);

CREATE TABLE runs (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    events integer NOT NULL,
    quantity numeric NOT NULL,
    first_occurred_at timestamptz NOT NULL,
    last_occurred_at timestamptz NOT NULL,
    first_booked_at timestamptz NOT NULL,
    last_booked_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (book, account, first_position)
) WITH (fillfactor = 85);
CREATE INDEX runs_hour ON runs (book, account, meter, hour);

-- Which events a run is made of. A row holds those of one block of 16,384 positions: few rows when a run fills
-- quickly, small ones when it does not.
CREATE TABLE run_positions (
    book uuid NOT NULL,
    run bigint NOT NULL,
    block bigint NOT NULL,
    positions bigint[] NOT NULL,
    PRIMARY KEY (book, run, block)
) WITH (fillfactor = 90);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['entries', 'runs', 'run_positions'] LOOP
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
