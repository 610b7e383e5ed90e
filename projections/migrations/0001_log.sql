-- The log: one totally ordered table of immutable events, for every book.

-- Run-time roles. None of them owns anything, so row-level security binds them all. Roles are shared by every
-- database of a server: another database's migration may be making them at this very moment.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['daybook_app', 'daybook_ingest', 'daybook_follower'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

CREATE SCHEMA log;

CREATE SEQUENCE log.position AS bigint CACHE 1;

-- The library's columns, plus the book and the log's own time. Hash partitions from the first migration:
-- the primary key must hold originator_id alone, because it is what drops duplicates for ever.
CREATE TABLE log.events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL DEFAULT nextval('log.position'),
    book uuid NOT NULL DEFAULT nullif(current_setting('daybook.book', true), '')::uuid,
    recorded_at timestamptz NOT NULL DEFAULT current_setting('daybook.recorded_at')::timestamptz,
    PRIMARY KEY (originator_id, originator_version)
) PARTITION BY HASH (originator_id);

-- The library passes events as an array of this type.
CREATE TYPE log.stored_event_uuid AS (
    originator_id uuid,
    originator_version bigint,
    topic text,
    state bytea
);

-- One row: the last time the log gave out, so that recorded_at never goes back when the wall clock does.
CREATE TABLE log.clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    recorded_at timestamptz NOT NULL
);
INSERT INTO log.clock (recorded_at) VALUES ('-infinity');

-- Appends are serialised by one advisory lock, held until commit: positions are then given out in commit order,
-- and a follower that has seen position n has seen all before it. LOCK TABLE would do the same, but needs more
-- than the right to insert, and a VACUUM would hold up every append.
CREATE FUNCTION log.take_lock() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    now_recorded timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(4412027001);
    UPDATE log.clock SET recorded_at = greatest(recorded_at, clock_timestamp())
    RETURNING recorded_at INTO now_recorded;
    PERFORM set_config('daybook.recorded_at', now_recorded::text, true);
END
$$;

CREATE FUNCTION log.lock_before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM log.take_lock();
    RETURN NULL;
END
$$;

CREATE TRIGGER lock_before_insert BEFORE INSERT ON log.events
FOR EACH STATEMENT EXECUTE FUNCTION log.lock_before_insert();

CREATE FUNCTION log.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the log is immutable: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON log.events
FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON log.events
FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- The second of the two places where an entry must balance; the first is its construction.
CREATE FUNCTION log.refuse_unbalanced() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    postings jsonb := convert_from(NEW.state, 'UTF8')::jsonb #> '{data,postings}';
BEGIN
    IF jsonb_typeof(postings) IS DISTINCT FROM 'array' OR jsonb_array_length(postings) < 2 THEN
        RAISE EXCEPTION 'a journal entry needs two postings or more' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(postings) AS p
        -- What is absent is null, and neither holds nor fails: so what must hold is asked for.
        WHERE (p->>'side' IN ('debit', 'credit') AND (p->>'amount')::numeric >= 0 AND p->>'currency' <> '')
            IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'a posting is a debit or a credit of at least zero' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(postings) AS p
        GROUP BY p->>'currency'
        HAVING sum(CASE p->>'side' WHEN 'debit' THEN 1 ELSE -1 END * (p->>'amount')::numeric) <> 0
    ) OR EXISTS (
        SELECT FROM jsonb_array_elements(postings) AS p
        GROUP BY p->>'functional_currency'
        HAVING sum(CASE p->>'side' WHEN 'debit' THEN 1 ELSE -1 END * (p->>'functional_amount')::numeric) <> 0
    ) THEN
        RAISE EXCEPTION 'a journal entry must balance in every currency' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_unbalanced BEFORE INSERT ON log.events
FOR EACH ROW WHEN (NEW.topic = 'journal.entry_posted') EXECUTE FUNCTION log.refuse_unbalanced();

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE log.events_%s PARTITION OF log.events FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH ('
            'autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.1)',
            lpad(part::text, 2, '0'), part
        );
        EXECUTE format(
            'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON log.events_%s '
            'FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()', lpad(part::text, 2, '0')
        );
    END LOOP;
END
$$;

-- Not unique: sequence and lock make positions unique, and a unique index on a partitioned table would have to
-- hold the partition key.
CREATE INDEX events_position ON log.events (notification_id);

ALTER TABLE log.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.events FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON log.events TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
CREATE POLICY ingest_all_books ON log.events TO daybook_ingest USING (true) WITH CHECK (true);
CREATE POLICY follower_reads_all_books ON log.events FOR SELECT TO daybook_follower USING (true);
-- For the lookup of a key below, whose book is not known before the key is: an owner who is no superuser is bound too.
CREATE POLICY owner_finds_keys ON log.events FOR SELECT TO CURRENT_USER USING (topic LIKE 'api_key.%');

REVOKE ALL ON SCHEMA log FROM PUBLIC;
REVOKE ALL ON FUNCTION log.take_lock() FROM PUBLIC;
GRANT USAGE ON SCHEMA log TO daybook_app, daybook_ingest, daybook_follower;
GRANT SELECT ON log.events TO daybook_app, daybook_ingest, daybook_follower;
-- Not notification_id and recorded_at: nobody chooses a position or a time of record.
GRANT INSERT (originator_id, originator_version, topic, state, book) ON log.events TO daybook_app, daybook_ingest;
GRANT USAGE, SELECT ON SEQUENCE log.position TO daybook_app, daybook_ingest;
GRANT SELECT ON SEQUENCE log.position TO daybook_follower;
GRANT EXECUTE ON FUNCTION log.take_lock() TO daybook_app, daybook_ingest;

CREATE FUNCTION log.find_key(key_stream uuid) RETURNS SETOF log.events
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT * FROM log.events
    WHERE originator_id = key_stream AND topic LIKE 'api_key.%'
    ORDER BY originator_version
$$;
REVOKE ALL ON FUNCTION log.find_key(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.find_key(uuid) TO daybook_app;
