"""What was going on when a check failed: kept in target/e2e/, one folder a check."""

from __future__ import annotations

import re

from .cluster import Cluster
from .report import Failed
from .settings import OUT, ROOT


def collect(cluster: Cluster, name: str) -> str:
    """Writes events, descriptions and logs to a folder named after the check; gives its path."""
    folder = OUT / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    commands = {
        "objects": ("get", "all,persistentvolumeclaims,configmaps,networkpolicies", "-o", "wide"),
        "events": ("get", "events", "--sort-by=.lastTimestamp"),
        "descriptions": ("describe", "pods,jobs,cronjobs"),
    }
    for file, command in commands.items():
        done = cluster.try_run(*command)
        (folder / f"{file}.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    for pod in pods(cluster):
        for kind, option in (("", ()), (".previous", ("--previous",))):
            log = cluster.try_run("logs", "--tail=2000", "--all-containers", pod, *option)
            if log.returncode == 0:
                (folder / f"{pod}{kind}.log").write_text(log.stdout, encoding="utf-8")
    return str(folder.relative_to(ROOT))


def pods(cluster: Cluster) -> list[str]:
    try:
        return [pod["metadata"]["name"] for pod in cluster.items("pods")]
    except Failed:
        return []
