"""What tables and views the migrations make, read from their SQL, so that a chart's columns can be compared with them."""

import re
from pathlib import Path

MIGRATIONS = Path(__file__).resolve().parents[2] / "postgres" / "migrations"


def columns(pipeline: str) -> dict[str, set[str]]:
    """Gives the columns of each table and view of a pipeline's database; every one has a comment, so the comments are the
    list."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for folder in ("stream", pipeline) for path in (MIGRATIONS / folder).glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for relation, column in re.findall(r'COMMENT ON COLUMN (\w+)\."?(\w+)"?', text):
            found.setdefault(relation, set()).add(column)
        for relation, names in re.findall(r"comment_like\('(\w+)', '\w+',\s+'([\w ]+)'\)", text):
            found.setdefault(relation, set()).update(names.split())
    return found
