-- Rows are appended, as the last value of a year may come in any page: a corrected year has two.
CREATE TABLE facts (
    country        text             NOT NULL,
    year           integer          NOT NULL,
    iso_code       text             NOT NULL COLLATE "C",
    population     double precision,
    gdp            double precision,
    co2            double precision,
    co2_per_capita double precision
);
