"""Serves Superset once bootstrap.py has set it up; until then no port is open, so nobody finds half of it.

The same variables as bootstrap.py's say which pipelines are shown; LISTEN says where (127.0.0.1:8088),
SERVER_WORKER_AMOUNT and SERVER_THREADS_AMOUNT how many processes and threads.
"""

import os
import sys

from setting_up import digest, settings, stamp, waiting
from setting_up.faults import Fault
from setting_up.waiting import say, say_error


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
        # A filter's state is in the URL.
        *("--limit-request-line", "0", "--limit-request-field_size", "0", "--access-logfile", "-"),
    ]


def main() -> None:
    """Waits, then becomes the web server."""
    settings.required("SUPERSET_CONFIG_PATH")
    url = settings.sqlalchemy_url(settings.required("METADATA_URL"))
    name = digest.of(settings.shown())
    waiting.until("the dashboards", lambda: stamp.missing(url, name), settings.wait_s())
    line = command()
    say(f"serving on {line[line.index('--bind') + 1]}")
    os.execv(line[0], line)


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        say_error(fault)
        sys.exit(fault.code)
