"""From an empty cluster to everything ready, with the time of each step."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Callable

from . import superset, workloads
from .cluster import NAMESPACE, check, until
from .report import Failed
from .run import Run
from .settings import ROOT

# A cold build of the images compiles 400 crates and fetches Superset; on two cores half an hour.
IMAGES_S = 3600


def empty(run: Run) -> str:
    """Removes what exists, if that was allowed."""
    exists = run.cluster.try_run("get", "namespace", NAMESPACE).returncode == 0
    if not exists:
        return "nothing existed"
    if not run.settings.purge:
        raise Failed(f"the namespace {NAMESPACE} is not empty: YES=1 removes it with its data, `make purge` asks")
    run.cluster.script("purge", seconds=400, YES="1")
    return "removed what existed"


def images(run: Run) -> str:
    run.cluster.script("images", seconds=IMAGES_S)
    return run.cluster.script("images", "--tag", seconds=60).strip()


def unprepared(run: Run) -> str:
    """In a fresh checkout, what is missing is named after the command that makes it."""
    made = shutil.ignore_patterns("made-by-make-*")
    with tempfile.TemporaryDirectory() as folder:
        fresh = shutil.copytree(ROOT / "kubernetes", Path(folder) / "kubernetes", ignore=made)
        for name in ("made-by-make-secrets.env", "made-by-make-images"):
            said = run.cluster.try_run("kustomize", str(fresh)).stderr
            check(name in said, f"the error does not name {name}: {said[-300:]}")
            # As `make secrets` does, so that the next error is about the images.
            shutil.copy(fresh / "secrets" / "secrets.env.example", fresh / "secrets" / "made-by-make-secrets.env")
    return "the errors name made-by-make-secrets.env and made-by-make-images"


def secrets(run: Run) -> str:
    run.cluster.script("secrets", seconds=60)
    return ""


def data(run: Run) -> str:
    said = run.cluster.script("data", str(run.settings.data), seconds=600)
    return said.strip().splitlines()[-1]


def apply(run: Run) -> str:
    """One apply, and nothing else."""
    run.applied = time.monotonic()
    done = run.cluster.try_run("apply", "-k", str(ROOT / "kubernetes"))
    check(done.returncode == 0, f"the apply failed: {done.stderr[-600:]}")
    check("Warning" not in done.stderr, f"the apply warned: {done.stderr}")
    return f"{len(done.stdout.splitlines())} objects"


def milestones(run: Run) -> str:
    """Waits for three things, each with its time after the apply."""
    began = time.monotonic()
    seen: dict[str, float] = {}
    probes = {
        "everything ready": lambda: not workloads.left(run.cluster),
        "clusters in PostgreSQL": lambda: int(run.cluster.sql("SELECT count(*) FROM co2_clusters")) > 0,
        "dashboards respond": lambda: superset.responds(run),
    }

    def check_all() -> bool:
        for name, probe in probes.items():
            if name not in seen and came(probe):
                seen[name] = time.monotonic() - (run.applied or began)
                run.report.note(f"{name} {seen[name]:.1f} s after the apply")
        return len(seen) == len(probes)

    try:
        until("everything ready", workloads.READY_S, check_all, pause=1)
    except Failed as failed:
        raise Failed(f"{failed}; left: {', '.join(workloads.left(run.cluster))}; seen: {seen}") from failed
    return ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in seen.items())


def came(probe: Callable[[], bool]) -> bool:
    """Whether it exists; what does not respond yet does not exist yet."""
    try:
        return probe()
    except Failed:
        return False


def no_restarts(run: Run) -> str:
    """A clean start restarts nothing, whatever came up first, and no Job's pod had to try twice."""
    restarted = {name: count for name, count in run.cluster.restarts().items() if count}
    check(not restarted, f"restarted: {restarted}")
    failed = [pod["metadata"]["name"] for pod in run.cluster.items("pods") if pod["status"]["phase"] == "Failed"]
    check(not failed, f"pods that failed: {failed}")
    return f"{len(run.cluster.items('pods'))} pods"
