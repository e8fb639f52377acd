CREATE TABLE country_aggregates (
    iso_code           text             NOT NULL COLLATE "C" PRIMARY KEY,
    country            text             NOT NULL,
    avg_population     double precision,
    avg_gdp            double precision,
    avg_co2            double precision,
    avg_co2_per_capita double precision,
    data_points        integer          NOT NULL,
    first_year         integer          NOT NULL,
    last_year          integer          NOT NULL
);
