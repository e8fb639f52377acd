"""The peers' one table, and how sums are saved into it."""

from typing import Iterable, Tuple

import psycopg

from .sums import COLUMNS, Sums

SCHEMA = """
CREATE TABLE IF NOT EXISTS country_sums (
    iso_code             text             NOT NULL COLLATE "C" PRIMARY KEY,
    country              text             NOT NULL,
    population_sum       double precision NOT NULL,
    population_years     integer          NOT NULL,
    gdp_sum              double precision NOT NULL,
    gdp_years            integer          NOT NULL,
    co2_sum              double precision NOT NULL,
    co2_years            integer          NOT NULL,
    co2_per_capita_sum   double precision NOT NULL,
    co2_per_capita_years integer          NOT NULL,
    data_points          integer          NOT NULL,
    first_year           integer          NOT NULL,
    last_year            integer          NOT NULL
);
CREATE OR REPLACE VIEW country_aggregates AS
SELECT iso_code, country,
       population_sum / nullif(population_years, 0) AS avg_population,
       gdp_sum / nullif(gdp_years, 0) AS avg_gdp,
       co2_sum / nullif(co2_years, 0) AS avg_co2,
       co2_per_capita_sum / nullif(co2_per_capita_years, 0) AS avg_co2_per_capita,
       data_points, first_year, last_year
FROM country_sums;
CREATE TEMPORARY TABLE saving (LIKE country_sums) ON COMMIT DELETE ROWS;
"""

ALL = ", ".join(("iso_code", *COLUMNS))
TYPES = ["float8" if name.endswith("_sum") else "int4" for name in COLUMNS]
TYPES = ["text", "text", *TYPES[1:]]
COPY = f"COPY saving ({ALL}) FROM STDIN (FORMAT binary)"
UPSERT = f"INSERT INTO country_sums AS stored ({ALL}) SELECT {ALL} FROM saving ON CONFLICT (iso_code) DO UPDATE SET "

REPLACE = UPSERT + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
ADD = (
    UPSERT
    + "country = CASE WHEN excluded.last_year >= stored.last_year THEN excluded.country ELSE stored.country END, "
    + "first_year = least(stored.first_year, excluded.first_year), "
    + "last_year = greatest(stored.last_year, excluded.last_year), "
    + ", ".join(f"{name} = stored.{name} + excluded.{name}" for name in COLUMNS[1:-2])
)


def connect(url: str) -> psycopg.Connection:
    """Opens a connection, and creates the table if it is missing."""
    connection = psycopg.connect(url)
    connection.execute(SCHEMA)
    connection.commit()
    return connection


def save(connection: psycopg.Connection, rows: Iterable[Tuple[str, Sums]], upsert: str) -> None:
    """Saves countries' rows in one transaction: COPY into a temporary table, then one upsert."""
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            copy.set_types(TYPES)
            for code, sums in rows:
                copy.write_row((code, *sums))
        cursor.execute(upsert)
