"""What the environment says, checked once."""

import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Optional
from urllib.parse import unquote

from .faults import USAGE, Fault

# As the Rust programs call it; long enough for servers that are pulled and started at the same time.
DEFAULT_WAIT = "60s"
# Every pipeline that has dashboards, and its settings: the database it writes, and whether the data were made. A variable's
# name is spelled out here, so that a search for it finds it.
PIPELINES = {
    "emissions": ("EMISSIONS_DATABASE", "EMISSIONS_SAMPLE"),
    "energy": ("ENERGY_DATABASE", "ENERGY_SAMPLE"),
    "sensors": ("SENSORS_DATABASE", "SENSORS_SAMPLE"),
    "iot": ("IOT_DATABASE", "IOT_SAMPLE"),
}
# What is shown where no database is named.
DEFAULT = {"emissions": "co2_emissions"}
# Control characters, line and paragraph separators.
UNSEEN = ("Cc", "Zl", "Zp")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Source:
    """Where the dashboards of a pipeline read, and whether what they read was made up."""

    pipeline: str
    url: str
    sample: bool


@dataclass(frozen=True)
class Settings:
    """What setting up needs to know."""

    metadata_url: str
    sources: list[Source]
    admin_password: str
    wait_s: float


def required(name: str) -> str:
    """Gives a variable's value, or says that it is missing."""
    value = os.environ.get(name, "")
    if not value:
        raise Fault(USAGE, f"{name} is not set")
    # As the Rust programs do: what `echo` adds to a password, nobody types.
    if any(unicodedata.category(character) in UNSEEN or character == "\ufeff" for character in value + (unquote(value) if "://" in value else "")):
        raise Fault(USAGE, f"{name} holds a control character, such as the line end of a Secret made with `echo`; make it with `printf %s`")
    return value


def seconds(text: str) -> float:
    """Reads a duration such as `10m`, `90s` or `1m30s`."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise Fault(USAGE, f"STARTUP_WAIT is {text!r}, which is not a duration such as 90s or 10m")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def wait_s() -> float:
    """Gives the seconds that each wait may take."""
    return seconds(os.environ.get("STARTUP_WAIT") or DEFAULT_WAIT)


def truth(name: str) -> bool:
    """Returns whether a switch is on: anything but nothing, 0, false, no and off."""
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off")


def sqlalchemy_url(url: str, database: Optional[str] = None) -> str:
    """Turns the URL that psql takes into SQLAlchemy's, with another database if one is named."""
    found = re.fullmatch(r"(?:postgres|postgresql)(?:\+psycopg2)?://([^/?]+)(?:/([^?]*))?(\?.*)?", url)
    if not found:
        raise Fault(USAGE, "a database URL must begin with postgres:// and name a host")
    host, own, query = found.groups()
    return f"postgresql+psycopg2://{host}/{database or own or 'postgres'}{query or ''}"


def psql_url(url: str) -> str:
    """Turns SQLAlchemy's URL back into the one that psycopg2 itself takes."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


def databases() -> dict[str, str]:
    """Gives the pipelines that are shown, those with a named database, and that database."""
    named = {pipeline: os.environ.get(database, "") for pipeline, (database, _) in PIPELINES.items()}
    return {pipeline: database for pipeline, database in named.items() if database} or DEFAULT


def shown() -> list[tuple[str, str, bool]]:
    """Gives what the two programs have to agree on: the pipelines that are shown, the database of each, whether it was made."""
    return [(pipeline, database, truth(PIPELINES[pipeline][1])) for pipeline, database in sorted(databases().items())]


def sources() -> list[Source]:
    """Gives where the dashboards of each pipeline that is shown read."""
    url = required("READER_URL")
    return [Source(pipeline, sqlalchemy_url(url, database), sample) for pipeline, database, sample in shown()]


def of_bootstrap() -> Settings:
    """Reads all that bootstrap.py needs."""
    return Settings(
        metadata_url=sqlalchemy_url(required("METADATA_URL")),
        sources=sources(),
        admin_password=required("SUPERSET_ADMIN_PASSWORD"),
        wait_s=wait_s(),
    )
