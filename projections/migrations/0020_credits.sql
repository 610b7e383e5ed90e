-- schema: credits
-- The credit of accounts: what there is of it, the prepaid grants, and every change. Amounts are in minor units.

-- paid and promotional are what is left of the grants of that kind.
CREATE TABLE balances (
    book uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    own bigint NOT NULL,
    paid bigint NOT NULL,
    promotional bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, account, currency)
);

CREATE TABLE grants (
    book uuid NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text NOT NULL,
    kind text NOT NULL,
    method text,
    name text,
    reference text,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    priority integer NOT NULL,
    plans jsonb NOT NULL,
    meters jsonb NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz,
    status text NOT NULL,
    created_position bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, grant_id)
);
CREATE INDEX grants_of_account ON grants (book, account, created_position);

-- amount raises a balance, or lowers it where it is negative; grant_id is null for the account's own credit.
CREATE TABLE changes (
    book uuid NOT NULL,
    position bigint NOT NULL,
    account text COLLATE "C" NOT NULL,
    type text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    grant_id text,
    invoice text,
    credit text,
    reference text,
    reason text,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (book, position)
);
CREATE INDEX changes_of_account ON changes (book, account, position);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['balances', 'grants', 'changes'] LOOP
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
