"""Whether everything runs as its manifest says."""

from __future__ import annotations

import json
from typing import Any, Optional

from .cluster import APPLIED, Cluster, until
from .report import Failed
from .settings import Pipeline

# From an apply to everything ready, with the images in the cluster: two minutes, and Superset's first start on a busy
# two-core machine is most of it.
READY_S = 600


def unfinished(item: Any) -> Optional[str]:
    """Why a Deployment, StatefulSet or Job is not done yet, or None when it is."""
    name, status = f"{item['kind'].lower()}/{item['metadata']['name']}", item.get("status", {})
    if item["kind"] == "Job":
        if any(c["type"] == "Failed" and c["status"] == "True" for c in status.get("conditions", [])):
            return f"{name} has failed"
        done = any(c["type"] == "Complete" and c["status"] == "True" for c in status.get("conditions", []))
        return None if done else name
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return name
    wanted = item["spec"]["replicas"]
    has = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return None if has == [wanted] * 3 else f"{name} {has[2]} of {wanted}"


def left(cluster: Cluster) -> list[str]:
    """The workloads that are not done yet."""
    reasons = [unfinished(item) for item in cluster.items("deployments,statefulsets,jobs", APPLIED)]
    return [reason for reason in reasons if reason]


def wait(cluster: Cluster, seconds: float = READY_S) -> None:
    """Waits until everything is done; a Job that has failed for good ends the wait at once."""
    last: list[str] = []

    def done() -> bool:
        nonlocal last
        last = left(cluster)
        return not last or any("has failed" in one for one in last)

    try:
        until("everything ready", seconds, done, pause=1)
    except Failed as failed:
        raise Failed(f"{failed}; left: {', '.join(last)}") from failed
    if last:
        raise Failed(", ".join(last))


def wait_for(cluster: Cluster, kind: str, name: str, seconds: float) -> None:
    """Waits until that one workload is done."""

    def done() -> bool:
        why = unfinished(cluster.json("get", kind, name))
        if why and "has failed" in why:
            raise Failed(why)
        return why is None

    until(f"{kind}/{name} done", seconds, done, pause=1)


def delete_pod(cluster: Cluster, name: str, *how: str) -> None:
    """Deletes a pod and waits until it has gone."""
    cluster.run("delete", "pod", name, *how, seconds=180)


def delete_job(cluster: Cluster, name: str) -> None:
    """Deletes a Job with its pods, if it exists."""
    cluster.run("delete", "job", name, "--ignore-not-found", "--cascade=foreground", seconds=120)


def send_again(cluster: Cluster, pipeline: Pipeline) -> None:
    """Starts a copy of a pipeline's producer Job, which sends at its rate."""
    name, environment = pipeline.again, {"RATE": str(pipeline.rate)}
    job = cluster.json("get", "job", f"{pipeline.name}-producer")
    labels = job["spec"]["template"]["metadata"]["labels"]
    # What the cluster itself has added names the first Job.
    own = {key: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [one for one in container.get("env", []) if one["name"] not in environment]
    container["env"] += [{"name": key, "value": value} for key, value in environment.items()]
    template = {"metadata": {"labels": own}, "spec": job["spec"]["template"]["spec"]}
    keep = ("backoffLimit", "activeDeadlineSeconds", "podFailurePolicy", "ttlSecondsAfterFinished")
    spec = {key: job["spec"][key] for key in keep if key in job["spec"]}
    copy = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": own},
        "spec": {**spec, "template": template},
    }
    delete_job(cluster, name)
    cluster.run("apply", "-f", "-", stdin=json.dumps(copy))
