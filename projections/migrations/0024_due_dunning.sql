-- schema: due
-- What dunning and notices are worked out from: the versions of each book's policy, the invoices that something
-- is left of, and what comes at the end of each subscription's period.

CREATE TABLE dunning_policies (
    book uuid NOT NULL,
    policy_version integer NOT NULL,
    in_force_from timestamptz NOT NULL,
    time_zone text NOT NULL,
    steps jsonb NOT NULL,
    renewal_days_before integer,
    trial_end_days_before integer,
    position bigint NOT NULL,
    PRIMARY KEY (book, policy_version)
);

-- owed is in minor units; settled_at says since when nothing is left while keys are still suspended for it.
CREATE TABLE past_due (
    book uuid NOT NULL,
    invoice text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    issued_on date NOT NULL,
    due_on date NOT NULL,
    booked_at timestamptz NOT NULL,
    owed bigint NOT NULL,
    suspended boolean NOT NULL,
    settled_at timestamptz,
    last_at timestamptz,
    last_actions text[] NOT NULL,
    is_over boolean NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, invoice)
);
CREATE INDEX past_due_suspended ON past_due (book, account) WHERE suspended;

CREATE TABLE renewals (
    book uuid NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    zone text NOT NULL,
    contract_ends_at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz,
    trial boolean NOT NULL,
    booked_at timestamptz,
    paused boolean NOT NULL,
    ending boolean NOT NULL,
    told_of timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (book, subscription)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['dunning_policies', 'past_due', 'renewals'] LOOP
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
-- An invoice that nothing is left of goes.
GRANT DELETE ON past_due TO daybook_follower;
