"""Serves Superset once bootstrap.py has set it up; until then no port is open, so nobody finds half of it.

LISTEN says where (127.0.0.1:8088), SERVER_WORKER_AMOUNT and SERVER_THREADS_AMOUNT how many processes and threads.
"""

import os
import sys
from typing import Optional

import psycopg2

from setting_up import assets, settings, waiting
from setting_up.faults import Fault
from setting_up.waiting import say, say_error

TABLES = {"databases": "dbs", "datasets": "tables", "charts": "slices", "dashboards": "dashboards"}


def missing(url: str, bundle: assets.Assets) -> Optional[str]:
    """Tells what of the assets is not in the metadata yet, or None."""
    for kind, table in TABLES.items():
        query = f"SELECT count(*) FROM {table} WHERE uuid = ANY(%s::uuid[])"
        wanted = sorted(assets.uuids(bundle, kind))
        try:
            found = waiting.rows(url, query, (wanted,))[0][0]
        except psycopg2.Error as error:
            return waiting.first_line(error)
        if found < len(wanted):
            return f"{found} of {len(wanted)} {kind} are imported; bootstrap.py imports them"
    return None


def command() -> list[str]:
    """Gives the web server's command line."""
    return [
        *(sys.executable, "-m", "gunicorn", "superset.app:create_app()"),
        *("--bind", os.environ.get("LISTEN") or "127.0.0.1:8088"),
        # One process with threads: the work is PostgreSQL's, and each process costs 300 MB.
        *("--workers", os.environ.get("SERVER_WORKER_AMOUNT") or "1"),
        *("--worker-class", "gthread", "--threads", os.environ.get("SERVER_THREADS_AMOUNT") or "8"),
        # As long as a visitor is kept waiting for a query, and no longer than the pod's grace period at the end.
        *("--timeout", "65", "--graceful-timeout", "20"),
        # A dashboard opens many connections at once; they are kept for the next.
        *("--keep-alive", "5", "--worker-tmp-dir", os.environ.get("TMPDIR") or "/tmp"),
        # A filter's state travels in the address.
        *("--limit-request-line", "0", "--limit-request-field_size", "0", "--access-logfile", "-"),
    ]


def main() -> None:
    """Waits, then becomes the web server."""
    settings.required("SUPERSET_CONFIG_PATH")
    url = settings.sqlalchemy_url(settings.required("METADATA_URL"))
    bundle = assets.read()
    waiting.until("the dashboards", lambda: missing(url, bundle), settings.wait_s())
    line = command()
    say(f"serving on {line[line.index('--bind') + 1]}")
    os.execv(line[0], line)


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        say_error(fault)
        sys.exit(fault.code)
