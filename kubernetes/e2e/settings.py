"""The settings of a run, from the environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "target" / "e2e"

# The reduced real file whose figures are known; data/README.md says how it is made. Of another file only the invariants are
# checked.
REAL_SHA256 = "4c94279f880f0201f32546cb033b3424c0b1449648b48d7bf832d490f3be8ad8"


@dataclass(frozen=True)
class Known:
    """The figures of a file whose figures are known."""

    sent: int
    facts: int
    filtered: int
    clustered: int
    sizes: str


# The household's file as .xz, and its quarters and minutes with power.
ENERGY_SHA256 = "b53b786b265386f5cf57cca2d34f7335e677c67b4ccf59437f82819ebe1d00d7"
KNOWN_ENERGY = (17, 2_049_280)

REAL = Known(sent=31_076, facts=26_814, filtered=4_262, clustered=164, sizes="156/5/3")
MADE = ROOT / "data" / "sample_made.csv"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline on the cluster, and how its file is sent while something breaks."""

    name: str
    topic: str
    database: str
    # Records a second: slow enough that a run takes a quarter of a minute, in which something can be deleted. 0: it has no file.
    rate: int = 0
    # The facts after which one consumer is deleted, and those that follow until another one is killed.
    facts: tuple[int, int] = (0, 0)
    # The topics of its further feeds.
    further: tuple[str, ...] = ()

    @property
    def consumer(self) -> str:
        """Its Deployment."""
        return f"{self.name}-consumer"

    @property
    def topics(self) -> tuple[str, ...]:
        """All its topics."""
        return (self.topic, *self.further)

    @property
    def again(self) -> str:
        """The Job that sends its file once more."""
        return f"{self.name}-producer-again"


EMISSIONS = Pipeline("emissions", "emissions-topic", "co2_emissions", rate=2_000, facts=(2_000, 8_000))
ENERGY = Pipeline("energy", "raw_energy", "energy_db", rate=100_000, facts=(100_000, 500_000))
SENSORS = Pipeline("sensors", "sensor-data", "sensor_data", further=("log-data",))
IOT = Pipeline("iot", "iot-sensor-stream", "iot_data")


@dataclass(frozen=True)
class Settings:
    """One run: on which cluster, with which file, which checks."""

    context: str
    data: Path
    known: Optional[Known]
    energy: Optional[Path]
    known_energy: Optional[tuple[int, int]]
    sensors: bool
    iot: bool
    only: tuple[str, ...]
    keep: bool
    purge: bool


class Usage(Exception):
    """A setting is wrong; the message says what to do."""


def read() -> Settings:
    """The settings of the environment.

    Raises Usage where one of them cannot be meant.
    """
    data = os.environ.get("DATA", "")
    only = tuple(os.environ.get("ONLY", "").split())
    if not data and not only:
        raise Usage("which file? `make e2e DATA=reduced_co2.csv`; data/README.md says how to get the real one")
    path = Path(data) if data else MADE
    if not path.is_file():
        raise Usage(f"{path} is no file")
    if path.read_bytes() == MADE.read_bytes() and not only:
        raise Usage("the made sample has separate tables and a separate check; give the real file")
    energy = Path(os.environ["ENERGY"]) if os.environ.get("ENERGY") else None
    if energy is not None and not energy.is_file():
        raise Usage(f"ENERGY={energy} is not a file")
    for name in ("SENSORS", "IOT"):
        if os.environ.get(name, "") not in ("", "simulator"):
            raise Usage(f"{name}={os.environ[name]} is not `simulator`")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Settings(
        context=os.environ["CONTEXT"],
        data=path.resolve(),
        known=REAL if digest == REAL_SHA256 else None,
        energy=energy.resolve() if energy else None,
        known_energy=KNOWN_ENERGY if energy and hashlib.sha256(energy.read_bytes()).hexdigest() == ENERGY_SHA256 else None,
        sensors=bool(os.environ.get("SENSORS")),
        iot=bool(os.environ.get("IOT")),
        only=only,
        keep=bool(os.environ.get("KEEP")) or bool(only),
        purge=os.environ.get("YES") == "1",
    )
