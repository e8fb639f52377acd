-- A run says what it lacks.

ALTER TABLE cluster_runs ADD COLUMN missing text;
COMMENT ON COLUMN cluster_runs.missing IS 'which records of the topic were removed before they could be read; null: none is known';
COMMENT ON COLUMN cluster_runs.complete IS 'whether every partition of the topic was refreshed to the end seen at start, and nothing is known to be missing';
