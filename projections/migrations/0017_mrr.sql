-- schema: mrr
-- How subscriptions stood from instant to instant, whatever counts as revenue: that is asked when it is read.

-- What a price version asks for an interval; the fees are {amounts by currency, per_seat, tax_rates}.
CREATE TABLE prices (
    book uuid NOT NULL,
    plan text COLLATE "C" NOT NULL,
    price_version integer NOT NULL,
    interval text NOT NULL,
    fees jsonb NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, plan, price_version)
);

-- How much of a tax rate, in per cent, lies within prices.
CREATE TABLE tax_rates (
    book uuid NOT NULL,
    tax_rate text COLLATE "C" NOT NULL,
    tax_rate_version integer NOT NULL,
    percent_within numeric NOT NULL,
    effective_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, tax_rate, tax_rate_version)
);

-- What the invoices of subscriptions ask for, what settled them, in minor units, and whether they are past due.
CREATE TABLE invoices (
    book uuid NOT NULL,
    invoice text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    total bigint NOT NULL,
    settled bigint NOT NULL,
    finalized bigint,
    status text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (book, invoice)
);

-- Each subscription as its last event left it: what the next event is applied to.
CREATE TABLE subscriptions (
    book uuid NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text,
    first_item text COLLATE "C",
    status text NOT NULL,
    effective_at timestamptz NOT NULL,
    caused_by bigint NOT NULL,
    topic text NOT NULL,
    parts jsonb NOT NULL,
    reductions jsonb NOT NULL,
    reduced_through jsonb NOT NULL,
    overdue jsonb NOT NULL,
    paid_through timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (book, subscription)
);

-- One row for each event that changed how a subscription stands: from effective_at on, as known from booked_at on.
CREATE TABLE standings (
    book uuid NOT NULL,
    position bigint NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text,
    effective_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL,
    caused_by bigint NOT NULL,
    topic text NOT NULL,
    status text NOT NULL,
    parts jsonb NOT NULL,
    reductions jsonb NOT NULL,
    paid_through timestamptz,
    PRIMARY KEY (book, position)
);
CREATE INDEX standings_account ON standings (book, account, position);

DO $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO daybook_app, daybook_follower', current_schema());
    FOREACH name IN ARRAY ARRAY['prices', 'tax_rates', 'invoices', 'subscriptions', 'standings'] LOOP
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
