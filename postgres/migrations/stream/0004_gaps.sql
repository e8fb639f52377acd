-- Records that were never read, because Kafka had removed them before.

ALTER TABLE stream_offsets ADD COLUMN resume_from bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stream_offsets.resume_from IS 'where reading should begin while no offset is stored: 0, or the offset after the last that was read before a gap was accepted';

CREATE TABLE stream_gaps (
    pipeline    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    generation  integer     NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic, partition, generation, from_offset),
    CONSTRAINT a_gap_is_not_empty CHECK (from_offset < to_offset)
);
COMMENT ON TABLE stream_gaps IS 'Offsets that Kafka had removed before they were read: while there are any, no run is complete';
COMMENT ON COLUMN stream_gaps.pipeline IS 'the pipeline''s name';
COMMENT ON COLUMN stream_gaps.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_gaps.partition IS 'the Kafka partition';
COMMENT ON COLUMN stream_gaps.generation IS 'which topic of that name, as in stream_offsets';
COMMENT ON COLUMN stream_gaps.from_offset IS 'the first offset that was not read';
COMMENT ON COLUMN stream_gaps.to_offset IS 'the offset after the last that was not read';
COMMENT ON COLUMN stream_gaps.noticed_at IS 'when the batch''s transaction began that was the first to be read after it';
