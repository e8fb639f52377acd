-- Rows are appended: a corrected year has two, and groups of countries are stored as well, some without a code.
CREATE TABLE facts (
    country        text,
    year           integer          NOT NULL,
    iso_code       text COLLATE "C",
    population     double precision,
    gdp            double precision,
    co2            double precision,
    co2_per_capita double precision
);
