"""Waits for what another program makes, with a deadline, and says what it waits for."""

import sys
import time
from typing import Callable, Optional

import psycopg2

from .faults import UNAVAILABLE, Fault
from .settings import Source, psql_url

# Short enough that nobody notices, long enough to leave a server that starts in peace.
POLL_INTERVAL_S = 1.0
# A wait that goes on is mentioned this often, so that a log shows it is alive.
SAY_EVERY_S = 15.0


def say(text: str) -> None:
    """Writes one line for the person who reads the log."""
    print(text, file=sys.stderr, flush=True)


def say_error(error: Exception) -> None:
    """Writes an error as one line, however many its text has."""
    say(f"ERROR {' '.join(str(error).split()) or type(error).__name__}")


def until(what: str, missing: Callable[[], Optional[str]], limit_s: float) -> None:
    """Calls `missing` until it returns None; another result is why the wait goes on."""
    began = time.monotonic()
    said = began - SAY_EVERY_S
    while True:
        why = missing()
        now = time.monotonic()
        if why is None:
            return
        if now - began >= limit_s:
            raise Fault(UNAVAILABLE, f"{what} was not available within {limit_s:.0f} s: {why}")
        if now - said >= SAY_EVERY_S:
            say(f"waiting for {what}: {why}")
            said = now
        time.sleep(POLL_INTERVAL_S)


def rows(url: str, query: str, values: tuple = ()) -> list[tuple]:
    """Runs one query over a separate connection."""
    connection = psycopg2.connect(psql_url(url), connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '10s'")
            cursor.execute(query, values)
            return cursor.fetchall()
    finally:
        connection.close()


def first_line(error: Exception) -> str:
    """Gives the first line of an error, which names what failed; PostgreSQL's go on for several."""
    return str(error).strip().split("\n")[0]


def for_database(url: str, what: str, limit_s: float) -> None:
    """Waits until a login works; the role may not exist yet, so a refusal is waited out as well."""

    def missing() -> Optional[str]:
        try:
            rows(url, "SELECT 1")
        except psycopg2.Error as error:
            return first_line(error)
        return None

    until(what, missing, limit_s)


def for_relations(source: Source, names: list[str], limit_s: float) -> None:
    """Waits until every table and view exists and may be read."""
    query = """SELECT name FROM unnest(%s) AS name
               WHERE to_regclass('public.' || name) IS NULL
                  OR NOT has_table_privilege(to_regclass('public.' || name), 'SELECT')"""

    def missing() -> Optional[str]:
        try:
            absent = [row[0] for row in rows(source.url, query, (names,))]
        except psycopg2.Error as error:
            return first_line(error)
        return f"no {', '.join(absent)} yet; `migrate up` makes them" if absent else None

    until(f"the schema of the pipeline {source.pipeline}", missing, limit_s)
