-- Whose consumers read a topic: each database has an identity of its own, which names its consumer group.

CREATE TABLE feeds (
    feed              text        NOT NULL PRIMARY KEY,
    identity          uuid        NOT NULL,
    system_identifier bigint,
    database_oid      oid         NOT NULL,
    drawn_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE feeds IS 'The identity of the database, one row a feed; written by `migrate up`';
COMMENT ON COLUMN feeds.feed IS 'the feed''s name: that of its pipeline';
COMMENT ON COLUMN feeds.identity IS 'drawn by `migrate up`; names the consumer group and is part of every consumer''s client.id';
COMMENT ON COLUMN feeds.system_identifier IS 'the server for which it was drawn (pg_control_system); null: the server did not let it be read';
COMMENT ON COLUMN feeds.database_oid IS 'the database for which it was drawn (pg_database); another one here: this is a copy';
COMMENT ON COLUMN feeds.drawn_at IS 'when it was drawn';
