"""What the checks share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional

from .cluster import Cluster
from .report import Failed, Report
from .settings import EMISSIONS, Pipeline, Settings

# What a check has seen, in a few words for the table.
Check = Callable[["Run"], str]


@dataclass
class Run:
    """A run: where it works, and what earlier checks have found out for later ones."""

    settings: Settings
    cluster: Cluster
    report: Report
    applied: Optional[float] = None
    hashes: dict[Pipeline, str] = field(default_factory=dict)

    def same_tables(self, pipeline: Pipeline = EMISSIONS) -> str:
        """Checks that the state tables are those of the first look at them, bit for bit; says so."""
        found = self.cluster.hash(pipeline)
        before = self.hashes.setdefault(pipeline, found)
        if found != before:
            raise Failed(f"the tables differ: before {before}; now {found}")
        return f"same tables, {found.splitlines()[-1].split()[0][:12]}…"
