"""What the environment says, checked once."""

import os
import re
from dataclasses import dataclass
from typing import Optional

from .faults import USAGE, Fault

# As the Rust programs call it; long enough for servers that are pulled and started at the same time.
DEFAULT_WAIT = "60s"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Settings:
    """What setting up needs to know."""

    metadata_url: str
    emissions_url: str
    admin_password: str
    sample: bool
    wait_s: float


def required(name: str) -> str:
    """Gives a variable's value, or says that it is missing."""
    value = os.environ.get(name, "")
    if not value:
        raise Fault(USAGE, f"{name} is not set")
    return value


def seconds(text: str) -> float:
    """Reads a duration such as `10m`, `90s` or `1m30s`."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise Fault(USAGE, f"STARTUP_WAIT is {text!r}, which is no duration such as 90s or 10m")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def wait_s() -> float:
    """Gives the seconds that each wait may take."""
    return seconds(os.environ.get("STARTUP_WAIT") or DEFAULT_WAIT)


def truth(name: str) -> bool:
    """Tells whether a switch is on: anything but nothing, 0, false, no and off."""
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


def of_bootstrap() -> Settings:
    """Reads all that bootstrap.py needs."""
    database = os.environ.get("EMISSIONS_DATABASE") or "co2_emissions"
    return Settings(
        metadata_url=sqlalchemy_url(required("METADATA_URL")),
        emissions_url=sqlalchemy_url(required("EMISSIONS_URL"), database),
        admin_password=required("SUPERSET_ADMIN_PASSWORD"),
        sample=truth("SAMPLE"),
        wait_s=wait_s(),
    )
