-- What stands beside the log: data keys, idempotent answers, tracking, books and webhook endpoints.

CREATE SCHEMA IF NOT EXISTS daybook;
GRANT USAGE ON SCHEMA daybook TO daybook_app, daybook_ingest, daybook_follower;

-- One key a data subject, wrapped under the master key; destroying it forgets the person.
CREATE TABLE daybook.data_keys (
    book uuid NOT NULL,
    subject text NOT NULL,
    wrapped bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    PRIMARY KEY (book, subject),
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
ALTER TABLE daybook.data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.data_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON daybook.data_keys TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
CREATE POLICY follower_reads_all_books ON daybook.data_keys FOR SELECT TO daybook_follower USING (true);
GRANT SELECT, INSERT ON daybook.data_keys TO daybook_app;
GRANT SELECT ON daybook.data_keys TO daybook_follower;

-- The answer to a request that carried an Idempotency-Key, wrapped under the master key, for a day.
CREATE TABLE daybook.idempotent_answers (
    book uuid NOT NULL,
    key text NOT NULL,
    idempotency_key text NOT NULL,
    request_digest text NOT NULL,
    wrapped_answer bytea,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (book, key, idempotency_key)
);
CREATE INDEX idempotent_answers_expiry ON daybook.idempotent_answers (expires_at);
ALTER TABLE daybook.idempotent_answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.idempotent_answers FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON daybook.idempotent_answers TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON daybook.idempotent_answers TO daybook_app;

-- How far each projection has read. `failure` says why it stopped, if it did.
CREATE TABLE daybook.tracking (
    projection text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now(),
    failed_position bigint,
    failure text
);
GRANT SELECT ON daybook.tracking TO daybook_app, daybook_ingest;
GRANT SELECT, INSERT, UPDATE ON daybook.tracking TO daybook_follower;

-- Which books there are; a book's own facts are events in the log.
CREATE TABLE daybook.books (
    book uuid PRIMARY KEY,
    organisation text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'test')),
    name text NOT NULL,
    UNIQUE (organisation, mode)
);
ALTER TABLE daybook.books ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.books FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON daybook.books TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
CREATE POLICY follower_reads_all_books ON daybook.books FOR SELECT TO daybook_follower USING (true);
CREATE POLICY owner_all_books ON daybook.books TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON daybook.books TO daybook_app;
GRANT SELECT ON daybook.books TO daybook_follower;

-- An endpoint belongs to an organisation; `livemode` of a delivery chooses which of its two books it is for.
-- The signing secret is wrapped under the master key: verifying a signature needs the secret itself.
CREATE TABLE daybook.webhook_endpoints (
    endpoint text PRIMARY KEY,
    organisation text NOT NULL,
    live_book uuid NOT NULL,
    test_book uuid NOT NULL,
    wrapped_secret bytea NOT NULL,
    is_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX one_default_endpoint ON daybook.webhook_endpoints (is_default) WHERE is_default;
REVOKE ALL ON daybook.webhook_endpoints FROM PUBLIC;

-- A delivery names its endpoint before any book is known.
CREATE FUNCTION daybook.find_webhook_endpoint(name text) RETURNS SETOF daybook.webhook_endpoints
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT * FROM daybook.webhook_endpoints WHERE CASE WHEN name = '' THEN is_default ELSE endpoint = name END
$$;
REVOKE ALL ON FUNCTION daybook.find_webhook_endpoint(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION daybook.find_webhook_endpoint(text) TO daybook_app;
GRANT INSERT ON daybook.webhook_endpoints TO daybook_app;
-- So that /readyz can say whether a migration is missing; the runner made the table before this one.
GRANT SELECT ON daybook.migrations TO daybook_app;
