"""What tables and views the migrations make, read from their SQL, so that a chart's columns can be held against them."""

import re
from pathlib import Path

MIGRATIONS = Path(__file__).resolve().parents[2] / "postgres" / "migrations"


def columns() -> dict[str, set[str]]:
    """Gives each table's and view's columns; every one has a comment, so the comments are the list."""
    found: dict[str, set[str]] = {}
    for path in sorted(MIGRATIONS.glob("*/*.sql")):
        for relation, column in re.findall(r'COMMENT ON COLUMN (\w+)\."?(\w+)"?', path.read_text(encoding="utf-8")):
            found.setdefault(relation, set()).add(column)
    return found
