"""Superset's settings, the same in the image and in a virtual environment; what differs comes from the environment.

Superset loads this file by SUPERSET_CONFIG_PATH and takes every name in capitals. What is not here keeps its default.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from setting_up import colours, settings  # noqa: E402  (the path must be set first)

# Superset's default key is public, so only the one that was made for this installation is used.
SECRET_KEY = settings.required("SUPERSET_SECRET_KEY")

# Dashboards, users and sessions lie in PostgreSQL; never in SQLite, which a pod would lose.
SQLALCHEMY_DATABASE_URI = settings.sqlalchemy_url(settings.required("METADATA_URL"))
# A connection that the server closed while it was idle is replaced, instead of failing the next visitor.
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}

APP_NAME = "Tributary"

# A visitor who is not logged in sees nothing: the anonymous role exists and has no right.
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = None

# Guessing passwords is slowed down. The count is kept by each worker process, since there is no shared store here.
RATELIMIT_ENABLED = True
RATELIMIT_STORAGE_URI = "memory://"
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "10 per minute"
# A dashboard sends some forty requests at once, and its pictures are files of the same server.
RATELIMIT_APPLICATION = "500 per second"

# Results are not cached: a dashboard shows the tables as they are now, and its queries take milliseconds.
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}

# The dashboards' legends are coloured words in Markdown; only an admin can write any.
HTML_SANITIZATION_SCHEMA_EXTENSIONS = {"attributes": {"span": ["style"]}}

# A query that takes longer than these seconds is a mistake; the web server waits a little longer than the query.
SQLLAB_TIMEOUT = 30
SUPERSET_WEBSERVER_TIMEOUT = 60

# Plain HTTP, on loopback or behind a port-forward. Behind TLS, set these two and ENABLE_PROXY_FIX.
SESSION_COOKIE_SECURE = False
SESSION_COOKIE_SAMESITE = "Lax"

EXTRA_CATEGORICAL_COLOR_SCHEMES = [colours.categorical(), colours.of_sensors()]
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [colours.map_scale(), colours.power_scale(), colours.coverage_scale()]

# Nothing that is shown leaves for elsewhere: no counting pixel, no tiles from a map server.
os.environ.setdefault("SCARF_ANALYTICS", "false")
