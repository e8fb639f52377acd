-- Whether a topic's partition keys are spread over its partitions, as those of a topic without keys are.

ALTER TABLE feeds ADD COLUMN spread boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN feeds.spread IS 'records of one partition key come from several partitions: a consumer loads and reads its partitions as one';
