-- What `stream` stores in every pipeline's database: offsets, accounting, rejects, gaps, identity.

-- Gives columns of a table or view the comments that columns of the same names have in another.
CREATE FUNCTION comment_like(target regclass, source regclass, names text) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    named   text;
    comment text;
BEGIN
    FOREACH named IN ARRAY string_to_array(names, ' ') LOOP
        SELECT col_description(attrelid, attnum) INTO STRICT comment
        FROM pg_attribute WHERE attrelid = source AND attname = named AND NOT attisdropped;
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, named, comment);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION comment_like IS 'Copies comments of columns from one table or view to another; called by migrations';

CREATE TABLE stream_offsets (
    feed              text        NOT NULL,
    topic             text        NOT NULL,
    partition         integer     NOT NULL,
    epoch             bigint      NOT NULL DEFAULT 0,
    owner             text,
    next_offset       bigint,
    refreshed_through bigint,
    cluster_id        text,
    generation        integer     NOT NULL DEFAULT 1,
    last_offset       bigint,
    last_timestamp_ms bigint,
    last_crc32        bigint,
    max_timestamp_ms  bigint      NOT NULL DEFAULT 0,
    catching_up       boolean     NOT NULL DEFAULT false,
    last_id           bigint      NOT NULL DEFAULT 0,
    refreshed_id      bigint      NOT NULL DEFAULT 0,
    redo_from         bigint      NOT NULL DEFAULT 0,
    resume_from       bigint      NOT NULL DEFAULT 0,
    claimed_at        timestamptz,
    committed_at      timestamptz,
    PRIMARY KEY (feed, topic, partition)
);
COMMENT ON TABLE stream_offsets IS 'How far each partition has come, and who owns it; moves in the same transaction as the facts';
COMMENT ON COLUMN stream_offsets.feed IS 'the feed''s name, as in feeds';
COMMENT ON COLUMN stream_offsets.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_offsets.partition IS 'the Kafka partition';
COMMENT ON COLUMN stream_offsets.epoch IS 'how often the partition was claimed; a commit under an older epoch is refused';
COMMENT ON COLUMN stream_offsets.owner IS 'who claimed it last: host, process and start';
COMMENT ON COLUMN stream_offsets.next_offset IS 'the next offset to read; null: none stored, begin at the earliest';
COMMENT ON COLUMN stream_offsets.refreshed_through IS 'the offset up to which the state tables hold this partition''s facts; null: nothing refreshed';
COMMENT ON COLUMN stream_offsets.cluster_id IS 'the id of the Kafka cluster the offsets belong to';
COMMENT ON COLUMN stream_offsets.generation IS 'counts the topics that had this name: 1, and one more for each --reset-offsets';
COMMENT ON COLUMN stream_offsets.last_offset IS 'the offset of the record read last, which is compared on assignment';
COMMENT ON COLUMN stream_offsets.last_timestamp_ms IS 'its Kafka timestamp, milliseconds since 1970 UTC';
COMMENT ON COLUMN stream_offsets.last_crc32 IS 'the CRC-32 of its key and value';
COMMENT ON COLUMN stream_offsets.max_timestamp_ms IS 'the greatest Kafka timestamp read so far, milliseconds since 1970 UTC';
COMMENT ON COLUMN stream_offsets.catching_up IS 'true after --reset-offsets until the new topic was read to its end: nothing is refreshed before';
COMMENT ON COLUMN stream_offsets.last_id IS 'the greatest id of a fact stored for this owner partition; 0: none';
COMMENT ON COLUMN stream_offsets.refreshed_id IS 'the value of last_id up to which the state tables hold this owner partition''s facts';
COMMENT ON COLUMN stream_offsets.redo_from IS 'every fact of this owner partition with an id up to this one is in the feed''s cold store: a load begins after it; 0: none is known to be';
COMMENT ON COLUMN stream_offsets.resume_from IS 'where reading should begin while no offset is stored: 0, or the offset after the last that was read before a gap was accepted';
COMMENT ON COLUMN stream_offsets.claimed_at IS 'when it was claimed last';
COMMENT ON COLUMN stream_offsets.committed_at IS 'when a batch last moved it';

CREATE TABLE stream_gaps (
    feed        text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    generation  integer     NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, topic, partition, generation, from_offset),
    CONSTRAINT a_gap_is_not_empty CHECK (from_offset < to_offset)
);
COMMENT ON TABLE stream_gaps IS 'Offsets that Kafka had removed before they were read: while there are any, no run is complete';
COMMENT ON COLUMN stream_gaps.feed IS 'the feed''s name, as in feeds';
COMMENT ON COLUMN stream_gaps.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_gaps.partition IS 'the Kafka partition';
COMMENT ON COLUMN stream_gaps.generation IS 'which topic of that name, as in stream_offsets';
COMMENT ON COLUMN stream_gaps.from_offset IS 'the first offset that was not read';
COMMENT ON COLUMN stream_gaps.to_offset IS 'the offset after the last that was not read';
COMMENT ON COLUMN stream_gaps.noticed_at IS 'when the batch''s transaction began that was the first to be read after it';

CREATE TABLE stream_completeness (
    feed       text        NOT NULL,
    topic      text        NOT NULL,
    complete   boolean     NOT NULL,
    missing    text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, topic),
    CONSTRAINT nothing_is_missing_from_all CHECK (NOT complete OR missing IS NULL)
);
COMMENT ON TABLE stream_completeness IS 'Whether the state tables hold all that the topic has had, as of the last refresh';
COMMENT ON COLUMN stream_completeness.feed IS 'the feed''s name, as in feeds';
COMMENT ON COLUMN stream_completeness.topic IS 'the Kafka topic';
COMMENT ON COLUMN stream_completeness.complete IS 'whether every partition was read and refreshed to the end that the consumer saw at its start, and nothing is known to be missing';
COMMENT ON COLUMN stream_completeness.missing IS 'the records that Kafka had removed before they were read, in words; null: none is known';
COMMENT ON COLUMN stream_completeness.changed_at IS 'when the transaction began that changed it';

CREATE SEQUENCE ingest_batch_numbers;
COMMENT ON SEQUENCE ingest_batch_numbers IS 'numbers the batches; a batch that was rolled back leaves a gap';

CREATE TABLE ingest_accounting (
    batch        bigint      NOT NULL,
    feed         text        NOT NULL,
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
    CONSTRAINT outcomes_sum_to_read CHECK (read = new + unchanged + corrected + filtered + rejected)
);
COMMENT ON TABLE ingest_accounting IS 'What became of every record, per batch and partition';
COMMENT ON COLUMN ingest_accounting.batch IS 'the batch''s number, as in the log';
COMMENT ON COLUMN ingest_accounting.feed IS 'the feed''s name, as in feeds';
COMMENT ON COLUMN ingest_accounting.topic IS 'the Kafka topic';
COMMENT ON COLUMN ingest_accounting.partition IS 'the Kafka partition';
COMMENT ON COLUMN ingest_accounting.from_offset IS 'the first offset the batch covers';
COMMENT ON COLUMN ingest_accounting.to_offset IS 'the offset after the last it covers';
COMMENT ON COLUMN ingest_accounting.read IS 'records read; the sum of the five that follow';
COMMENT ON COLUMN ingest_accounting.new IS 'records that brought a new fact';
COMMENT ON COLUMN ingest_accounting.unchanged IS 'records that repeated a known fact, or one that a later record had overtaken';
COMMENT ON COLUMN ingest_accounting.corrected IS 'records that changed a known fact';
COMMENT ON COLUMN ingest_accounting.filtered IS 'valid records the pipeline does not store';
COMMENT ON COLUMN ingest_accounting.rejected IS 'records that cannot be used; each is in rejects';
COMMENT ON COLUMN ingest_accounting.committed_at IS 'when the batch''s transaction began';

CREATE VIEW ingest_batches AS
SELECT batch, feed, topic, min(committed_at) AS committed_at, count(*) AS partitions,
       sum(read)::bigint AS read, sum(new)::bigint AS new, sum(unchanged)::bigint AS unchanged,
       sum(corrected)::bigint AS corrected, sum(filtered)::bigint AS filtered, sum(rejected)::bigint AS rejected
FROM ingest_accounting
GROUP BY batch, feed, topic;
COMMENT ON VIEW ingest_batches IS 'ingest_accounting, one row a batch; all counts in records';
COMMENT ON COLUMN ingest_batches.partitions IS 'partitions the batch has records of';
SELECT comment_like('ingest_batches', 'ingest_accounting',
    'batch feed topic committed_at read new unchanged corrected filtered rejected');

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
COMMENT ON COLUMN rejects.id IS 'identity; (partition, offset) would clash when a topic is recreated';
COMMENT ON COLUMN rejects.batch IS 'the batch that read it';
COMMENT ON COLUMN rejects.topic IS 'the Kafka topic';
COMMENT ON COLUMN rejects.partition IS 'the Kafka partition';
COMMENT ON COLUMN rejects."offset" IS 'the Kafka offset';
COMMENT ON COLUMN rejects.timestamp_ms IS 'the Kafka timestamp, milliseconds since 1970 UTC';
COMMENT ON COLUMN rejects.reason IS 'why it cannot be used';
COMMENT ON COLUMN rejects.key IS 'the message key, byte for byte; null: none';
COMMENT ON COLUMN rejects.value IS 'the message value, byte for byte; null: none';
COMMENT ON COLUMN rejects.rejected_at IS 'when the batch''s transaction began';

CREATE TABLE key_partitions (
    topic            text    NOT NULL,
    key              text    NOT NULL COLLATE "C",
    partition        integer NOT NULL,
    clock_ms         bigint,
    final_through_ms bigint,
    horizon_ms       bigint,
    newest_ms        bigint,
    newest_partition integer,
    PRIMARY KEY (topic, key)
);
CREATE INDEX key_partitions_by_partition ON key_partitions (topic, partition);
COMMENT ON TABLE key_partitions IS 'The owner partition of each partition key: only the consumer that owns it may write the key''s groups';
COMMENT ON COLUMN key_partitions.topic IS 'the Kafka topic';
COMMENT ON COLUMN key_partitions.key IS 'the partition key: what the message key of a group''s records is made of';
COMMENT ON COLUMN key_partitions.partition IS 'the partition in which the key was first seen, or to which `consumer repartition` moved it';
COMMENT ON COLUMN key_partitions.clock_ms IS 'the greatest event time of its facts, as far as a refresh has stored it, milliseconds since 1970 UTC; null: no windows, or not stored yet';
COMMENT ON COLUMN key_partitions.final_through_ms IS 'the key''s windows that end by this time are final, milliseconds since 1970 UTC; it never goes back; null: none is';
COMMENT ON COLUMN key_partitions.horizon_ms IS 'the key''s windows that end by this time take no facts any more, milliseconds since 1970 UTC; it never goes back; null: all do';
COMMENT ON COLUMN key_partitions.newest_ms IS 'the timestamp of its newest record, as far as a refresh has stored it, milliseconds since 1970 UTC; null: groups do not leave memory, or not stored yet';
COMMENT ON COLUMN key_partitions.newest_partition IS 'the partition that its newest record came from, likewise';

CREATE TABLE feeds (
    feed              text        NOT NULL PRIMARY KEY,
    identity          uuid        NOT NULL,
    system_identifier bigint,
    database_oid      oid         NOT NULL,
    drawn_at          timestamptz NOT NULL DEFAULT now(),
    spread            boolean     NOT NULL DEFAULT false,
    last_run          integer     NOT NULL DEFAULT 0,
    last_run_at       timestamptz
);
COMMENT ON TABLE feeds IS 'One row a feed: the identity of the database, which names the consumer group, written by `migrate up`; and what survives `consumer reset`';
COMMENT ON COLUMN feeds.feed IS 'the feed''s name: that of its pipeline, or one that begins with it';
COMMENT ON COLUMN feeds.identity IS 'drawn by `migrate up`; names the consumer group and is part of every consumer''s client.id';
COMMENT ON COLUMN feeds.system_identifier IS 'the server for which it was drawn (pg_control_system); null: the server did not let it be read';
COMMENT ON COLUMN feeds.database_oid IS 'the database for which it was drawn (pg_database); another one here: this is a copy';
COMMENT ON COLUMN feeds.drawn_at IS 'when it was drawn';
COMMENT ON COLUMN feeds.spread IS 'records of one partition key come from several partitions: a consumer loads and reads its partitions as one';
COMMENT ON COLUMN feeds.last_run IS 'the batch_id of the latest run: never used twice, not even after `consumer reset`; 0: none';
COMMENT ON COLUMN feeds.last_run_at IS 'when that run was; null: none';

CREATE TABLE feed_settings (
    feed  text NOT NULL,
    name  text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (feed, name)
);
COMMENT ON TABLE feed_settings IS 'Settings that give the stored groups of a feed their meaning: fixed when its consumer first runs, until `consumer reset`';
COMMENT ON COLUMN feed_settings.feed IS 'the feed''s name, as in feeds';
COMMENT ON COLUMN feed_settings.name IS 'the setting: window_size_ms is how long a window is, milliseconds';
COMMENT ON COLUMN feed_settings.value IS 'its value';

-- Timestamps outside of 1970 to 2100 are no times: crates/stream/src/core/offsets.rs has the same range.
CREATE VIEW freshness AS
SELECT o.topic, count(*) AS partitions,
       to_timestamp(max(o.max_timestamp_ms) FILTER (WHERE o.max_timestamp_ms > 0 AND o.max_timestamp_ms < 4102444800000)
                    / 1000.0) AS newest_record_at,
       max(o.committed_at) AS last_batch_at,
       max(f.last_run_at) AS last_run_at,
       sum(o.next_offset - coalesce(o.refreshed_through, 0))::bigint AS offsets_to_refresh
FROM stream_offsets o
LEFT JOIN feeds f ON f.feed = o.feed
GROUP BY o.topic;
COMMENT ON VIEW freshness IS 'How old what is shown is, one row a topic';
COMMENT ON COLUMN freshness.topic IS 'the Kafka topic';
COMMENT ON COLUMN freshness.partitions IS 'partitions of it that were ever claimed';
COMMENT ON COLUMN freshness.newest_record_at IS 'the greatest Kafka timestamp read so far, from 1970 to 2100; null: unknown, no record has such a one';
COMMENT ON COLUMN freshness.last_batch_at IS 'when a batch was last stored';
COMMENT ON COLUMN freshness.last_run_at IS 'when a refresh last changed anything; null: none has';
COMMENT ON COLUMN freshness.offsets_to_refresh IS 'offsets stored and not yet in the state tables; 0: what is shown is what is known';

-- Adds to a table an array for each column of the type <feed>_fact that it lacks, except those named in `but`, and has all arrays of
-- the table compressed with lz4, where the server can.
CREATE FUNCTION add_arrays(target text, feed text, is_new boolean, but text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    fact record;
BEGIN
    FOR fact IN
        SELECT attname AS name, format_type(atttypid, atttypmod) || '[]' AS type,
               col_description(attrelid, attnum) AS comment,
               (SELECT ' COLLATE ' || quote_ident(collname) FROM pg_collation
                WHERE oid = attcollation AND collname <> 'default') AS collation
        FROM pg_attribute
        WHERE attrelid = quote_ident(feed || '_fact')::regclass AND attnum > 0 AND NOT attisdropped
          AND attname <> ALL (string_to_array(but, ' '))
        ORDER BY attnum
    LOOP
        -- Rows that are older than a column have no array of it.
        IF is_new OR NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = quote_ident(target)::regclass AND attname = fact.name) THEN
            EXECUTE format('ALTER TABLE %I ADD COLUMN %I %s%s%s', target, fact.name, fact.type, fact.collation,
                CASE WHEN is_new THEN ' NOT NULL' END);
        END IF;
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', target, fact.name, 'of each fact: ' || fact.comment);
    END LOOP;
    FOR fact IN
        SELECT attname AS name FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = quote_ident(target)::regclass AND attnum > 0 AND NOT attisdropped AND typcategory = 'A'
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET COMPRESSION lz4', target, fact.name);
        EXCEPTION WHEN feature_not_supported OR syntax_error THEN
            -- A server without lz4: its own compression costs more time than it saves.
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STORAGE EXTERNAL', target, fact.name);
        END;
    END LOOP;
END
$function$;
COMMENT ON FUNCTION add_arrays IS 'Adds arrays of a feed''s facts to a table, compressed; called by create_changelog and create_cold_store';

-- A pipeline names the columns of its facts as a composite type, <feed>_fact. From it this makes the feed's changelog: the
-- table <feed>_segments with an array a column, and the view <feed>_changelog with a row a fact. Called again once the type
-- has a further column, it adds that one.
CREATE FUNCTION create_changelog(feed text) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    segments text := feed || '_segments';
    is_new   boolean := to_regclass(quote_ident(feed || '_segments')) IS NULL;
    fact     record;
    names    text;
    arrays   text;
    facts    text;
BEGIN
    IF is_new THEN
        EXECUTE format($$
            CREATE TABLE %I (
                id                 bigint   NOT NULL,
                owner_partition    integer  NOT NULL,
                partition          integer  NOT NULL,
                facts              integer  NOT NULL CHECK (facts > 0),
                first_offset       bigint   NOT NULL,
                offsets            bigint[],
                first_timestamp_ms bigint   NOT NULL,
                timestamps_ms      bigint[],
                late               integer[],
                PRIMARY KEY (owner_partition, id)
            )$$, segments);
        EXECUTE format('COMMENT ON TABLE %I IS %L', segments,
            'The changelog as it is stored: a row for the facts that one batch brought from one partition to one owner partition, in the order they came');
        FOR fact IN SELECT * FROM (VALUES
            ('id', 'the id of its first fact; those of the others follow'),
            ('owner_partition', 'the partition that owns the groups of its facts (key_partitions)'),
            ('partition', 'the Kafka partition its records came from'),
            ('facts', 'the number of its facts'),
            ('first_offset', 'the Kafka offset of the first fact''s record; -1: written by `consumer repartition`, without records'),
            ('offsets', 'the Kafka offset of each fact''s record; null: they follow one another from the first'),
            ('first_timestamp_ms', 'the timestamp of the first fact'),
            ('timestamps_ms', 'the timestamp of each fact; null: all are the first one''s'),
            ('late', 'the places, from 1, of the facts that came after their window was final; null: none')
        ) AS columns (name, comment) LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', segments, fact.name, fact.comment);
        END LOOP;
    END IF;
    PERFORM add_arrays(segments, feed, is_new);
    SELECT string_agg(quote_ident(attname) || ', ', '' ORDER BY attnum),
           string_agg('s.' || quote_ident(attname) || ', ', '' ORDER BY attnum),
           string_agg(', f.' || quote_ident(attname), '' ORDER BY attnum)
    INTO names, arrays, facts
    FROM pg_attribute WHERE attrelid = quote_ident(feed || '_fact')::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format($$
        CREATE OR REPLACE VIEW %I AS
        SELECT s.id + f.place - 1 AS id, s.owner_partition, s.partition,
               CASE WHEN s.first_offset < 0 THEN s.first_offset
                    ELSE coalesce(f.fact_offset, s.first_offset + f.place - 1) END AS "offset",
               coalesce(f.fact_timestamp_ms, s.first_timestamp_ms) AS timestamp_ms%s
        FROM %I s
        CROSS JOIN LATERAL unnest(%ss.offsets, s.timestamps_ms) WITH ORDINALITY
            AS f (%sfact_offset, fact_timestamp_ms, place)$$,
        feed || '_changelog', facts, segments, arrays, names);
    EXECUTE format('COMMENT ON VIEW %I IS %L', feed || '_changelog',
        obj_description(quote_ident(feed || '_fact')::regtype, 'pg_type')
            || '; of a key''s facts the one of the greatest timestamp_ms, partition and id is what is known');
    FOR fact IN
        SELECT * FROM (VALUES
            ('id', 'the batch that brought it times 2^20, plus its place in that batch: unique'),
            ('owner_partition', 'the partition that owns the group (key_partitions)'),
            ('partition', 'the Kafka partition the record came from'),
            ('offset', 'its Kafka offset; -1: none, written by `consumer repartition`'),
            ('timestamp_ms', 'the greatest Kafka timestamp of its partition up to it, milliseconds since 1970 UTC; 0: none was a time from 1970 to 2100')
        ) AS columns (name, comment)
        UNION ALL
        SELECT attname, col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = quote_ident(feed || '_fact')::regclass AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', feed || '_changelog', fact.name, fact.comment);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION create_changelog IS 'Makes or extends the changelog of a feed from its type <feed>_fact; called by migrations';

-- Where groups of a feed leave memory, this makes its cold store: the table <feed>_cold with a row a group, and an array for each
-- column of the type <feed>_fact that does not name the group. `groups` are the names of those that do. Called again once the
-- type has a further column, it adds that one.
CREATE FUNCTION create_cold_store(feed text, groups text) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    cold   text := feed || '_cold';
    is_new boolean := to_regclass(quote_ident(feed || '_cold')) IS NULL;
    fact   record;
BEGIN
    IF is_new THEN
        EXECUTE format($$
            CREATE TABLE %I (
                through            bigint   NOT NULL,
                partition_key      text     NOT NULL COLLATE "C",
                slot               bigint   NOT NULL,
                facts              integer  NOT NULL CHECK (facts > 0),
                partition          integer  NOT NULL,
                partitions         integer[],
                first_timestamp_ms bigint   NOT NULL,
                timestamps_ms      bigint[],
                late               integer[],
                PRIMARY KEY (partition_key, slot)
            )$$, cold);
        EXECUTE format('CREATE INDEX %I ON %I (through)', cold || '_through', cold);
        EXECUTE format('COMMENT ON TABLE %I IS %L', cold,
            'The facts of groups that were written to leave memory, a row a group; together with the changelog''s facts after redo_from that is all that is known');
        FOR fact IN SELECT * FROM (VALUES
            ('through', 'all facts of the group with an id up to this one are in the row'),
            ('partition_key', 'the group''s partition key'),
            ('slot', 'when its window begins, milliseconds since 1970 UTC; 0: the group is no window'),
            ('facts', 'the number of its facts, retractions included'),
            ('partition', 'the Kafka partition that the first fact''s record came from'),
            ('partitions', 'that of each fact''s record; null: all came from the first one''s'),
            ('first_timestamp_ms', 'the timestamp of the first fact'),
            ('timestamps_ms', 'the timestamp of each fact; null: all are the first one''s'),
            ('late', 'the places, from 1, of the facts that came after their window was final; null: none')
        ) AS columns (name, comment) LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', cold, fact.name, fact.comment);
        END LOOP;
    END IF;
    PERFORM add_arrays(cold, feed, is_new, groups);
END
$function$;
COMMENT ON FUNCTION create_cold_store IS 'Makes or extends the cold store of a feed from its type <feed>_fact; called by migrations';
