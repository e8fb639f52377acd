-- How far the state tables hold the facts of each owner partition, whichever partition their records came from.

ALTER TABLE stream_offsets
    ADD COLUMN last_id      bigint NOT NULL DEFAULT 0,
    ADD COLUMN refreshed_id bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stream_offsets.last_id IS 'the greatest id of a fact stored for this owner partition; 0: none';
COMMENT ON COLUMN stream_offsets.refreshed_id IS 'the value of last_id up to which the state tables hold this owner partition''s facts';

-- Ids are a batch's number times 2^20 plus a row: no fact that is stored already has a greater one than this.
UPDATE stream_offsets
SET last_id = (SELECT (last_value + 1) << 20 FROM ingest_batch_numbers)
WHERE next_offset IS NOT NULL;
