-- Jobs of the scheduler that came to nothing: one row for each, until it is done or no longer due at that
-- instant. It is tried again at retry_at, so that what is refused is neither tried all the time nor in the way of
-- the rest. The reason is a refusal's own words, which name no person.
CREATE TABLE daybook.job_refusals (
    book uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    refused_at timestamptz NOT NULL,
    retry_at timestamptz NOT NULL,
    PRIMARY KEY (book, kind, subject)
);
ALTER TABLE daybook.job_refusals ENABLE ROW LEVEL SECURITY;
ALTER TABLE daybook.job_refusals FORCE ROW LEVEL SECURITY;
CREATE POLICY follower_all_books ON daybook.job_refusals TO daybook_follower USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON daybook.job_refusals TO daybook_follower;
