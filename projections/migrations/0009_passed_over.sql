-- Events set aside. Which they are is told by the log alone; this index finds them there, and is empty otherwise.

CREATE INDEX events_set_aside ON log.events (notification_id) WHERE topic = 'log.event_set_aside';

-- Which of them each projection has passed over, so that one which had applied an event before it was set aside
-- notices, and stops until it is rebuilt.
CREATE TABLE daybook.passed_over (
    projection text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (projection, position)
);
GRANT SELECT, INSERT ON daybook.passed_over TO daybook_follower;
