"""What a run says: on the terminal at once, and in target/e2e/report.md for afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """A check found something else than it should; the message says what."""


@dataclass
class Row:
    """A line of the table at the end."""

    name: str
    result: str
    seconds: float
    detail: str


class Report:
    """Collects rows, and writes every line down as soon as it is printed, so that a killed run leaves a report too."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", encoding="utf-8")
        self.rows: list[Row] = []
        self.began = time.monotonic()

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.write(line)

    def write(self, line: str) -> None:
        self.file.write(line + "\n")
        self.file.flush()

    def note(self, line: str) -> None:
        """A line below the check that runs."""
        since = time.monotonic() - self.began
        self.say(f"    {since:6.1f} s  {line}")

    def add(self, name: str, result: str, seconds: float, detail: str) -> None:
        self.rows.append(Row(name, result, seconds, detail))
        self.say(f"  {result:7} {seconds:7.1f} s  {name}" + (f": {detail}" if detail else ""))

    def table(self) -> None:
        """The end of the report: one row a check."""
        self.write("```\n")
        self.say()
        self.say("| result | seconds | check | what was seen |")
        self.say("|---|---:|---|---|")
        for row in self.rows:
            detail = row.detail.replace("|", "\\|").replace("\n", " ")
            self.say(f"| {row.result} | {row.seconds:.1f} | {row.name} | {detail} |")
        self.say()

    @property
    def failed(self) -> int:
        return sum(row.result == "FAILED" for row in self.rows)
