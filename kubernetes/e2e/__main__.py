"""Runs the checks one after another, prints a line each, and a table at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import NamedTuple

from . import again, answers, breaking, evidence, install, live, superset
from .cluster import Cluster
from .report import Failed, Report
from .run import Check, Run
from .settings import EMISSIONS, ENERGY, IOT, OUT, ROOT, SENSORS, Settings, Usage, read


class Step(NamedTuple):
    """A check with the name that ONLY= takes."""

    name: str
    check: Check
    # Without it, the later checks have nothing to check.
    needed: bool = False


STEPS = [
    Step("empty", install.empty, needed=True),
    Step("images", install.images, needed=True),
    Step("unprepared", install.unprepared),
    Step("secrets", install.secrets, needed=True),
    Step("data", install.data, needed=True),
    Step("apply", install.apply, needed=True),
    Step("milestones", install.milestones, needed=True),
    Step("no-restarts", install.no_restarts),
    Step("jobs", answers.jobs),
    Step("logs", answers.logs),
    Step("counts", answers.counts, needed=True),
    Step("topic", answers.topic),
    Step("roles", answers.roles),
    Step("charts", superset.charts),
    Step("pictures", superset.pictures),
    Step("status", again.status),
    Step("applied-twice", again.applied_twice),
    Step("dry-run", again.dry_run),
    Step("consumers-deleted", breaking.consumers(EMISSIONS)),
    Step("kafka-deleted", breaking.server("kafka", EMISSIONS)),
    Step("postgres-deleted", breaking.server("postgres", EMISSIONS)),
    Step("superset-deleted", superset.pod_deleted),
    Step("migrated", again.migrated(EMISSIONS)),
    Step("down-and-up", again.down_and_up),
    Step("up-again", again.same_after_up),
    Step("energy", again.energy),
    Step("energy-pictures", superset.pictures),
    Step("energy-consumers-deleted", breaking.consumers(ENERGY)),
    Step("energy-kafka-deleted", breaking.server("kafka", ENERGY)),
    Step("energy-postgres-deleted", breaking.server("postgres", ENERGY)),
    Step("energy-migrated", again.migrated(ENERGY)),
    Step("sensors", live.up(SENSORS)),
    Step("sensors-broken", live.broken(SENSORS)),
    Step("sensors-report", live.report),
    Step("sensors-pictures", superset.pictures),
    Step("iot", live.up(IOT)),
    Step("iot-broken", live.broken(IOT)),
    Step("iot-pictures", superset.pictures),
    Step("sample", again.sample),
    Step("purged", again.purged),
]


def chosen(settings: Settings) -> list[Step]:
    """The steps that are meant, in their order."""
    wanted = {"energy": settings.energy, "sensors": settings.sensors, "iot": settings.iot}
    left_out = tuple(name for name, value in wanted.items() if not value)
    steps = [step for step in STEPS if not step.name.startswith(left_out)]
    if not settings.only:
        return steps[:-1] if settings.keep else steps
    unknown = set(settings.only) - {step.name for step in STEPS}
    if unknown:
        raise Usage(f"no check is called {', '.join(sorted(unknown))}; the checks are: {' '.join(s.name for s in STEPS)}")
    return [step for step in STEPS if step.name in settings.only]


def attempt(run: Run, step: Step) -> bool:
    """Runs one check, and writes down its result."""
    run.report.say(f"▸ {step.name}")
    began = time.monotonic()
    try:
        detail = step.check(run)
    except (Failed, subprocess.TimeoutExpired) as failed:
        run.report.add(step.name, "FAILED", time.monotonic() - began, str(failed))
        run.report.note(f"what was going on: {evidence.collect(run.cluster, step.name)}")
        return False
    run.report.add(step.name, "ok", time.monotonic() - began, detail)
    return True


def header(run: Run) -> None:
    run.report.write("# make e2e\n")
    run.report.write(time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    run.report.write("\n```")
    run.report.say(f"cluster {run.cluster.run('version').splitlines()[-1]}, file {run.settings.data.name}")


def main() -> int:
    try:
        settings = read()
        steps = chosen(settings)
    except Usage as usage:
        print(usage, file=sys.stderr)
        return 64
    report = Report(OUT / "report.md")
    run = Run(settings, Cluster(settings, report), report)
    header(run)
    for step in steps:
        if not attempt(run, step) and step.needed:
            report.say(f"nothing after {step.name} can be checked")
            break
    report.table()
    report.say(f"{len(report.rows)} of {len(steps)} checks run, {report.failed} failed")
    report.say(f"{OUT.relative_to(ROOT)}/report.md has all of it")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
