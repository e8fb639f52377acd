"""One name for all that is set up, so that a web server waits for exactly its version."""

import hashlib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent
# What is set up comes from these; tests and tools are not in every installation.
PARTS = ("assets", "setting_up", "bootstrap.py", "requirements.txt", "superset_config.py")


def of(shown: Any, folder: Path = FOLDER) -> str:
    """Names what is set up: every file that takes part, and which pipelines are shown and how."""
    found = hashlib.sha256(repr(shown).encode())
    for path in sorted(path for part in PARTS for path in files(folder / part)):
        content = path.read_bytes()
        found.update(f"\n{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


def files(root: Path) -> list[Path]:
    """Gives a file, or those of a folder; what Python compiled is not a source."""
    if root.is_file():
        return [root]
    return [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
