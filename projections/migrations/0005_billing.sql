-- schema: billing
-- Plans, subscriptions and invoices as they stand, ours and those that Stripe manages; amounts in minor units.

CREATE TABLE plans (
    book uuid NOT NULL,
    plan text COLLATE "C" NOT NULL,
    product text NOT NULL,
    name text NOT NULL,
    currency text NOT NULL,
    interval text NOT NULL,
    amount bigint NOT NULL,
    price_version integer NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, plan)
);

-- observed_at is the instant that Stripe said this at.
CREATE TABLE subscriptions (
    book uuid NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    managed_by text NOT NULL,
    plan text,
    price_version integer,
    status text NOT NULL,
    starts_at timestamptz,
    period_start timestamptz,
    period_end timestamptz,
    next_plan text,
    cancels_at timestamptz,
    ended_at timestamptz,
    billed_through timestamptz,
    observed_at timestamptz,
    version bigint NOT NULL,
    created_position bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, subscription)
);
CREATE INDEX subscriptions_account ON subscriptions (book, account, created_position);

-- managed_invoice is the invoice of ours that an invoice at Stripe stands for.
CREATE TABLE invoices (
    book uuid NOT NULL,
    invoice text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    managed_by text NOT NULL,
    subscription text,
    status text NOT NULL,
    number text,
    currency text NOT NULL,
    subtotal bigint NOT NULL,
    tax_total bigint NOT NULL,
    total bigint NOT NULL,
    amount_paid bigint NOT NULL,
    issued_on date,
    due_on date,
    period_start timestamptz,
    period_end timestamptz,
    managed_invoice text,
    observed_at timestamptz,
    version bigint NOT NULL,
    created_position bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, invoice)
);
CREATE INDEX invoices_account ON invoices (book, account, created_position);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['plans', 'subscriptions', 'invoices'] LOOP
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
