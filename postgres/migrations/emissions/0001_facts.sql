-- The emissions pipeline's facts, and what is computed of each country.

CREATE TABLE emissions_changelog (
    id             bigint           NOT NULL,
    home           integer          NOT NULL,
    partition      integer          NOT NULL,
    "offset"       bigint           NOT NULL,
    timestamp_ms   bigint           NOT NULL,
    iso_code       text             NOT NULL COLLATE "C",
    country        text             NOT NULL,
    year           smallint         NOT NULL,
    population     double precision,
    gdp            double precision,
    co2            double precision,
    co2_per_capita double precision
);
CREATE INDEX emissions_changelog_by_home ON emissions_changelog USING brin (home, id);
COMMENT ON TABLE emissions_changelog IS 'Every new or corrected fact, in the order it was learnt; the greatest id of a country and year is what is known';
COMMENT ON COLUMN emissions_changelog.id IS 'the batch that brought it times 2^20, plus its place in that batch: unique, growing within a home';
COMMENT ON COLUMN emissions_changelog.home IS 'the partition the country lives in (group_homes)';
COMMENT ON COLUMN emissions_changelog.partition IS 'the Kafka partition the record came from';
COMMENT ON COLUMN emissions_changelog."offset" IS 'its Kafka offset';
COMMENT ON COLUMN emissions_changelog.timestamp_ms IS 'the greatest Kafka timestamp of its partition up to it, milliseconds since 1970 UTC';
COMMENT ON COLUMN emissions_changelog.iso_code IS 'the country''s code';
COMMENT ON COLUMN emissions_changelog.country IS 'the country''s name in that record';
COMMENT ON COLUMN emissions_changelog.year IS 'calendar year, 1 to 9999';
COMMENT ON COLUMN emissions_changelog.population IS 'persons; null: missing';
COMMENT ON COLUMN emissions_changelog.gdp IS 'gross domestic product, international-$ of 2011; null: missing';
COMMENT ON COLUMN emissions_changelog.co2 IS 'emissions, million tonnes of CO₂; null: missing';
COMMENT ON COLUMN emissions_changelog.co2_per_capita IS 'emissions, tonnes of CO₂ per person; null: missing';

CREATE VIEW emissions_facts AS
SELECT DISTINCT ON (iso_code, year)
       iso_code, country, year, make_date(year, 1, 1) AS year_start,
       population, gdp, co2, co2_per_capita, id >> 20 AS batch
FROM emissions_changelog
ORDER BY iso_code, year, id DESC;
COMMENT ON VIEW emissions_facts IS 'What is known now: one row per country and year; units as in emissions_changelog';
COMMENT ON COLUMN emissions_facts.iso_code IS 'the country''s code';
COMMENT ON COLUMN emissions_facts.country IS 'the country''s name in that record';
COMMENT ON COLUMN emissions_facts.year IS 'calendar year, 1 to 9999';
COMMENT ON COLUMN emissions_facts.year_start IS 'the first day of that year, for time axes';
COMMENT ON COLUMN emissions_facts.population IS 'persons; null: missing';
COMMENT ON COLUMN emissions_facts.gdp IS 'gross domestic product, international-$ of 2011; null: missing';
COMMENT ON COLUMN emissions_facts.co2 IS 'emissions, million tonnes of CO₂; null: missing';
COMMENT ON COLUMN emissions_facts.co2_per_capita IS 'emissions, tonnes of CO₂ per person; null: missing';
COMMENT ON COLUMN emissions_facts.batch IS 'the batch that brought it';

CREATE TABLE country_aggregates (
    iso_code              text        NOT NULL COLLATE "C" PRIMARY KEY,
    country               text        NOT NULL,
    avg_co2               double precision,
    avg_co2_per_capita    double precision,
    avg_gdp               double precision,
    avg_population        double precision,
    data_points           integer     NOT NULL,
    first_year            integer     NOT NULL,
    last_year             integer     NOT NULL,
    avg_co2_recent        double precision,
    co2_years             integer     NOT NULL,
    co2_first_year        integer,
    co2_last_year         integer,
    not_clustered_because text,
    processing_time       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE country_aggregates IS 'One row per country, computed again from all its facts whenever one of them changes';
COMMENT ON COLUMN country_aggregates.iso_code IS 'the country''s code';
COMMENT ON COLUMN country_aggregates.country IS 'the country''s name in its latest year';
COMMENT ON COLUMN country_aggregates.avg_co2 IS 'mean of the years that have a value, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_aggregates.avg_co2_per_capita IS 'mean of the years that have a value, tonnes of CO₂ per person a year';
COMMENT ON COLUMN country_aggregates.avg_gdp IS 'mean of the years that have a value, international-$ of 2011 a year';
COMMENT ON COLUMN country_aggregates.avg_population IS 'mean of the years that have a value, persons';
COMMENT ON COLUMN country_aggregates.data_points IS 'number of facts: years in the file, whatever is missing in them';
COMMENT ON COLUMN country_aggregates.first_year IS 'the least of those years';
COMMENT ON COLUMN country_aggregates.last_year IS 'the greatest of those years';
COMMENT ON COLUMN country_aggregates.avg_co2_recent IS 'mean co2 of the years from 2010 on, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_aggregates.co2_years IS 'number of years that have co2';
COMMENT ON COLUMN country_aggregates.co2_first_year IS 'the least year that has co2';
COMMENT ON COLUMN country_aggregates.co2_last_year IS 'the greatest year that has co2';
COMMENT ON COLUMN country_aggregates.not_clustered_because IS 'why the latest run could not cluster it; null: it did, or none has run';
COMMENT ON COLUMN country_aggregates.processing_time IS 'when the row last changed';
