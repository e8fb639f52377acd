-- Whether the state tables hold all that the topic has had.

CREATE TABLE stream_completeness (
    pipeline   text        NOT NULL,
    topic      text        NOT NULL,
    complete   boolean     NOT NULL,
    missing    text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic),
    CONSTRAINT nothing_is_missing_from_all CHECK (NOT complete OR missing IS NULL)
);
COMMENT ON TABLE stream_completeness IS 'Whether the state tables hold all that the topic has had, as of the last refresh';
COMMENT ON COLUMN stream_completeness.pipeline IS 'the pipeline''s name';
COMMENT ON COLUMN stream_completeness.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_completeness.complete IS 'whether every partition was read and refreshed to the end that the consumer saw at its start, and nothing is known to be missing';
COMMENT ON COLUMN stream_completeness.missing IS 'the records that Kafka had removed before they were read, in words; null: none is known';
COMMENT ON COLUMN stream_completeness.changed_at IS 'when the transaction began that changed it';
