-- The last value by country and year, then averages by country.
CREATE TABLE emissions (
    country        STRING,
    `year`         INT,
    iso_code       STRING,
    population     DOUBLE,
    gdp            DOUBLE,
    co2            DOUBLE,
    co2_per_capita DOUBLE,
    arrived        AS PROCTIME()
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

INSERT INTO country_aggregates
SELECT iso_code, MAX(country), AVG(population), AVG(gdp), AVG(co2), AVG(co2_per_capita),
       CAST(COUNT(*) AS INT), MIN(`year`), MAX(`year`)
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY iso_code, `year` ORDER BY arrived DESC) AS newest
    FROM emissions
    WHERE iso_code <> '' AND iso_code NOT LIKE 'OWID!_%' ESCAPE '!'
)
WHERE newest = 1
GROUP BY iso_code;
