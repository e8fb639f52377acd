"""Records for the web server that setting up is done: a row in the metadata, named after all that was set up.

Rows stay, so that a server that is rolled back finds its row.
"""

from typing import Optional

import psycopg2

from .settings import psql_url
from .waiting import first_line, rows

MAKE = """CREATE TABLE IF NOT EXISTS tributary_set_up (
              digest text PRIMARY KEY, done_at timestamptz NOT NULL DEFAULT now())"""
LEAVE = """INSERT INTO tributary_set_up (digest) VALUES (%s)
           ON CONFLICT (digest) DO UPDATE SET done_at = now()"""


def leave(url: str, name: str) -> None:
    """Records that it is done."""
    connection = psycopg2.connect(psql_url(url), connect_timeout=10)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(MAKE)
            cursor.execute(LEAVE, (name,))
    finally:
        connection.close()


def missing(url: str, name: str) -> Optional[str]:
    """Returns why it is not done yet, or None."""
    try:
        exists = rows(url, "SELECT to_regclass('public.tributary_set_up') IS NOT NULL")[0][0]
        if exists and rows(url, "SELECT 1 FROM tributary_set_up WHERE digest = %s", (name,)):
            return None
    except psycopg2.Error as error:
        return first_line(error)
    return "this version of them is not set up yet; bootstrap.py does that"
