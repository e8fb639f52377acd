-- The last value by country and year, then averages by country. Run.java fills in the variables.
CREATE TABLE emissions (
    country        STRING,
    `year`         INT,
    iso_code       STRING,
    population     DOUBLE,
    gdp            DOUBLE,
    co2            DOUBLE,
    co2_per_capita DOUBLE
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.group.id' = '${GROUP}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

CREATE TABLE country_aggregates (
    iso_code           STRING,
    country            STRING,
    avg_population     DOUBLE,
    avg_gdp            DOUBLE,
    avg_co2            DOUBLE,
    avg_co2_per_capita DOUBLE,
    data_points        INT,
    first_year         INT,
    last_year          INT,
    PRIMARY KEY (iso_code) NOT ENFORCED
) WITH (
    'connector' = 'jdbc',
    'url' = '${JDBC_URL}?reWriteBatchedInserts=true',
    'username' = '${JDBC_USER}',
    'password' = '${JDBC_PASSWORD}',
    'table-name' = 'country_aggregates',
    'sink.buffer-flush.max-rows' = '5000',
    'sink.buffer-flush.interval' = '1s'
);

-- Of a corrected year the inner query takes its old values back. The years and the name only fall or rise in it, so that
-- Flink needs no state to take them back; with the columns themselves in the outer query it would.
INSERT INTO country_aggregates
SELECT iso_code, MAX(country), AVG(population), AVG(gdp), AVG(co2), AVG(co2_per_capita), CAST(COUNT(*) AS INT),
       MIN(first_year), MAX(last_year)
FROM (
    SELECT iso_code, `year`, MAX(country) AS country, MIN(`year`) AS first_year, MAX(`year`) AS last_year,
           LAST_VALUE(population) AS population, LAST_VALUE(gdp) AS gdp,
           LAST_VALUE(co2) AS co2, LAST_VALUE(co2_per_capita) AS co2_per_capita
    FROM emissions
    -- Without the groups of countries, such as the world, which our pipeline leaves out as well.
    WHERE iso_code <> '' AND iso_code NOT LIKE 'OWID!_%' ESCAPE '!'
    GROUP BY iso_code, `year`
)
GROUP BY iso_code;
