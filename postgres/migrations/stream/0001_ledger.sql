-- What `stream` keeps in every pipeline's database: offsets, accounting, rejects, homes.

CREATE TABLE stream_offsets (
    pipeline          text        NOT NULL,
    topic             text        NOT NULL,
    partition         integer     NOT NULL,
    epoch             bigint      NOT NULL DEFAULT 0,
    owner             text,
    next_offset       bigint,
    published_through bigint,
    cluster_id        text,
    generation        integer     NOT NULL DEFAULT 1,
    last_offset       bigint,
    last_timestamp_ms bigint,
    last_crc32        bigint,
    max_timestamp_ms  bigint      NOT NULL DEFAULT 0,
    catching_up       boolean     NOT NULL DEFAULT false,
    claimed_at        timestamptz,
    committed_at      timestamptz,
    PRIMARY KEY (pipeline, topic, partition)
);
COMMENT ON TABLE stream_offsets IS 'How far each partition has come, and who owns it; moves in the same transaction as the facts';
COMMENT ON COLUMN stream_offsets.pipeline IS 'the pipeline''s name';
COMMENT ON COLUMN stream_offsets.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_offsets.partition IS 'the Kafka partition';
COMMENT ON COLUMN stream_offsets.epoch IS 'how often the partition was claimed; a commit under an older epoch is refused';
COMMENT ON COLUMN stream_offsets.owner IS 'who claimed it last: host, process and start';
COMMENT ON COLUMN stream_offsets.next_offset IS 'the next offset to read; null: none stored, begin at the earliest';
COMMENT ON COLUMN stream_offsets.published_through IS 'the offset up to which the state tables hold this partition''s facts; null: nothing published';
COMMENT ON COLUMN stream_offsets.cluster_id IS 'the id of the Kafka cluster the offsets belong to';
COMMENT ON COLUMN stream_offsets.generation IS 'counts the topics that had this name: 1, and one more for each --reset-offsets';
COMMENT ON COLUMN stream_offsets.last_offset IS 'the offset of the record read last, which is compared on assignment';
COMMENT ON COLUMN stream_offsets.last_timestamp_ms IS 'its Kafka timestamp, milliseconds since 1970 UTC';
COMMENT ON COLUMN stream_offsets.last_crc32 IS 'the CRC-32 of its key and value';
COMMENT ON COLUMN stream_offsets.max_timestamp_ms IS 'the greatest Kafka timestamp read so far, milliseconds since 1970 UTC';
COMMENT ON COLUMN stream_offsets.catching_up IS 'true after --reset-offsets until the new topic was read to its end: nothing is published before';
COMMENT ON COLUMN stream_offsets.claimed_at IS 'when it was claimed last';
COMMENT ON COLUMN stream_offsets.committed_at IS 'when a batch last moved it';

CREATE SEQUENCE ingest_batch_numbers;
COMMENT ON SEQUENCE ingest_batch_numbers IS 'numbers the batches; a batch that was rolled back leaves a gap';

CREATE TABLE ingest_accounting (
    batch        bigint      NOT NULL,
    pipeline     text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    from_offset  bigint      NOT NULL,
    to_offset    bigint      NOT NULL,
    read         bigint      NOT NULL,
    new          bigint      NOT NULL,
    unchanged    bigint      NOT NULL,
    corrected    bigint      NOT NULL,
    filtered     bigint      NOT NULL,
    rejected     bigint      NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, topic, partition),
    CONSTRAINT the_books_balance CHECK (read = new + unchanged + corrected + filtered + rejected)
);
COMMENT ON TABLE ingest_accounting IS 'What became of every record, per batch and partition';
COMMENT ON COLUMN ingest_accounting.batch IS 'the batch''s number, as in the log';
COMMENT ON COLUMN ingest_accounting.pipeline IS 'the pipeline''s name';
COMMENT ON COLUMN ingest_accounting.topic IS 'the Kafka topic';
COMMENT ON COLUMN ingest_accounting.partition IS 'the Kafka partition';
COMMENT ON COLUMN ingest_accounting.from_offset IS 'the first offset the batch covers';
COMMENT ON COLUMN ingest_accounting.to_offset IS 'the offset after the last it covers';
COMMENT ON COLUMN ingest_accounting.read IS 'records read; the sum of the five that follow';
COMMENT ON COLUMN ingest_accounting.new IS 'records that told a new fact';
COMMENT ON COLUMN ingest_accounting.unchanged IS 'records that told a fact already known, or one that a later record had overtaken';
COMMENT ON COLUMN ingest_accounting.corrected IS 'records that changed a known fact';
COMMENT ON COLUMN ingest_accounting.filtered IS 'sound records the pipeline does not keep';
COMMENT ON COLUMN ingest_accounting.rejected IS 'records that cannot be used; each is in rejects';
COMMENT ON COLUMN ingest_accounting.committed_at IS 'when the batch''s transaction began';

CREATE VIEW ingest_batches AS
SELECT batch, pipeline, topic, min(committed_at) AS committed_at, count(*) AS partitions,
       sum(read)::bigint AS read, sum(new)::bigint AS new, sum(unchanged)::bigint AS unchanged,
       sum(corrected)::bigint AS corrected, sum(filtered)::bigint AS filtered, sum(rejected)::bigint AS rejected
FROM ingest_accounting
GROUP BY batch, pipeline, topic;
COMMENT ON VIEW ingest_batches IS 'ingest_accounting, one row a batch; all counts in records';
COMMENT ON COLUMN ingest_batches.batch IS 'the batch''s number, as in the log';
COMMENT ON COLUMN ingest_batches.pipeline IS 'the pipeline''s name';
COMMENT ON COLUMN ingest_batches.topic IS 'the Kafka topic';
COMMENT ON COLUMN ingest_batches.committed_at IS 'when the batch''s transaction began';
COMMENT ON COLUMN ingest_batches.partitions IS 'partitions the batch has records of';
COMMENT ON COLUMN ingest_batches.read IS 'records read; the sum of the five that follow';
COMMENT ON COLUMN ingest_batches.new IS 'records that told a new fact';
COMMENT ON COLUMN ingest_batches.unchanged IS 'records that told a fact already known, or one that a later record had overtaken';
COMMENT ON COLUMN ingest_batches.corrected IS 'records that changed a known fact';
COMMENT ON COLUMN ingest_batches.filtered IS 'sound records the pipeline does not keep';
COMMENT ON COLUMN ingest_batches.rejected IS 'records that cannot be used';

CREATE TABLE rejects (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch        bigint      NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    timestamp_ms bigint      NOT NULL,
    reason       text        NOT NULL,
    key          bytea,
    value        bytea,
    rejected_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rejects IS 'Records that cannot be used, as they were, with the reason';
COMMENT ON COLUMN rejects.id IS 'identity; (partition, offset) would clash when a topic is made again';
COMMENT ON COLUMN rejects.batch IS 'the batch that met it';
COMMENT ON COLUMN rejects.topic IS 'the Kafka topic';
COMMENT ON COLUMN rejects.partition IS 'the Kafka partition';
COMMENT ON COLUMN rejects."offset" IS 'the Kafka offset';
COMMENT ON COLUMN rejects.timestamp_ms IS 'the Kafka timestamp, milliseconds since 1970 UTC';
COMMENT ON COLUMN rejects.reason IS 'why it cannot be used';
COMMENT ON COLUMN rejects.key IS 'the message key, byte for byte; null: none';
COMMENT ON COLUMN rejects.value IS 'the message value, byte for byte; null: none';
COMMENT ON COLUMN rejects.rejected_at IS 'when the batch''s transaction began';

CREATE TABLE group_homes (
    topic text    NOT NULL,
    route text    NOT NULL COLLATE "C",
    home  integer NOT NULL,
    PRIMARY KEY (topic, route)
);
CREATE INDEX group_homes_by_home ON group_homes (topic, home);
COMMENT ON TABLE group_homes IS 'The partition each group of facts lives in; its owner alone may write the group';
COMMENT ON COLUMN group_homes.topic IS 'the Kafka topic';
COMMENT ON COLUMN group_homes.route IS 'what the message key of the group''s records is made of';
COMMENT ON COLUMN group_homes.home IS 'the partition in which the route was first seen, or to which `consumer rehome` moved it';

CREATE TABLE counters (
    name  text   NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);
COMMENT ON TABLE counters IS 'Numbers that are never used twice, and survive `consumer reset`';
COMMENT ON COLUMN counters.name IS 'what is counted';
COMMENT ON COLUMN counters.value IS 'the number used last';
