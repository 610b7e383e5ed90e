-- The feed: how far each partition is read, what could not be applied, and how far the log is published.

-- One row a partition. `feed` is the cluster's id and the topic's: a topic that was made again is another feed.
-- A claim moves `next_offset` in the transaction of the events it stands for, from the offset it began at and
-- under the claimant's epoch; whoever is assigned a partition raises its epoch, which fences those before.
CREATE TABLE daybook.feed_offsets (
    feed text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    owner text NOT NULL DEFAULT '',
    owner_epoch bigint NOT NULL DEFAULT 0,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, partition)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON daybook.feed_offsets TO daybook_ingest;
GRANT SELECT, UPDATE ON daybook.feed_offsets TO daybook_app;

-- Messages that could not be applied. `parked` ones wait for what they name to be there, and are tried again;
-- `open` ones wait for a person. The value is wrapped under the master key, since it may hold personal data, and
-- goes once the message is replayed or discarded; its digest stays.
CREATE TABLE daybook.dead_letters (
    dead_letter text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    book uuid,
    status text NOT NULL CHECK (status IN ('parked', 'open', 'replayed', 'discarded')),
    code text NOT NULL,
    reason text NOT NULL,
    -- What it seems to be about, as far as it could be read.
    account text,
    account_stream uuid,
    source text,
    event_id text,
    -- A conflict: where the event stands that has the same identity and other facts.
    known_position bigint,
    feed text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    record_timestamp timestamptz NOT NULL,
    record_key bytea,
    record_headers jsonb NOT NULL DEFAULT '[]',
    value_digest text NOT NULL,
    value_bytes integer NOT NULL,
    wrapped_value bytea,
    rejected_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    retry_at timestamptz,
    gives_up_at timestamptz,
    relayed_at timestamptz,
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    UNIQUE (feed, partition, record_offset),
    CHECK ((status IN ('replayed', 'discarded')) = (resolved_at IS NOT NULL)),
    CHECK ((status = 'parked') = (retry_at IS NOT NULL AND gives_up_at IS NOT NULL))
);
CREATE INDEX dead_letters_of_book ON daybook.dead_letters (book, number);
CREATE INDEX dead_letters_parked ON daybook.dead_letters (account_stream, number) WHERE status = 'parked';
-- Usage waits for its account and for no clock; there may be very much of it.
CREATE INDEX dead_letters_due ON daybook.dead_letters (retry_at, number)
    WHERE status = 'parked' AND topic <> 'daybook.usage';
CREATE INDEX dead_letters_not_relayed ON daybook.dead_letters (number)
    WHERE relayed_at IS NULL AND status = 'open';
ALTER TABLE daybook.dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON daybook.dead_letters TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
CREATE POLICY ingest_all_books ON daybook.dead_letters TO daybook_ingest USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON daybook.dead_letters TO daybook_app, daybook_ingest;

-- Commands that arrived as messages, by their identity, with a digest of what they asked for.
CREATE TABLE daybook.handled_messages (
    book uuid NOT NULL,
    source text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    position bigint,
    handled_at timestamptz NOT NULL,
    PRIMARY KEY (book, source, message_id)
);
ALTER TABLE daybook.handled_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.handled_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY app_own_book ON daybook.handled_messages TO daybook_app
    USING (book = (SELECT nullif(current_setting('daybook.book', true), '')::uuid))
    WITH CHECK (book = nullif(current_setting('daybook.book', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE (position) ON daybook.handled_messages TO daybook_app;

-- Consumption that was stopped because too much was bad stays stopped, whoever starts it again, until a person
-- has it go on.
CREATE TABLE daybook.feed_stop (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    stopped_at timestamptz NOT NULL,
    reason text NOT NULL
);
GRANT SELECT, INSERT, DELETE ON daybook.feed_stop TO daybook_ingest;

-- A log that was restored gives out positions again: each life of it is an epoch.
CREATE TABLE daybook.log_epochs (
    epoch integer PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL
);
INSERT INTO daybook.log_epochs (epoch, reason) VALUES (1, 'installed');
GRANT SELECT ON daybook.log_epochs TO daybook_app, daybook_ingest, daybook_follower;
-- The owner raises the epoch and says so in the log; an owner who is no superuser is bound by policies too.
CREATE POLICY owner_raises_epochs ON log.events TO CURRENT_USER
    USING (topic = 'feed.log_epoch_raised') WITH CHECK (topic = 'feed.log_epoch_raised');

-- How far the log is published to Kafka, one row a cluster and topic. `publisher` is the process that may move it:
-- a newer one takes its place. What an older epoch published behind `epoch_after` is not part of this log.
CREATE TABLE daybook.published (
    feed text PRIMARY KEY,
    publisher text NOT NULL,
    epoch integer NOT NULL,
    epoch_after bigint NOT NULL,
    position bigint NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON daybook.published TO daybook_follower;

-- What admission is judged by and may change at any time: few events, found without reading the others.
CREATE INDEX events_admission ON log.events (notification_id)
    WHERE topic IN ('account.closed', 'source.granted', 'source.withdrawn');
