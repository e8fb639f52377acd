"""Pods deleted in the middle of their work; the tables are the same afterwards, bit for bit."""

from __future__ import annotations

import json
from typing import Optional

from . import workloads
from .cluster import check, until
from .run import Run

CONSUMER = "emissions-consumer"
AGAIN = "emissions-producer-again"

# Slow enough that a run of the real file takes a quarter of a minute, in which something can be deleted.
RATE = "2000"

# A run at that rate, a pod's grace period and its start, and what the programs wait before they try again.
RUN_S = 240


def stored(run: Run, topic: str, database: Optional[str] = None) -> bool:
    """Whether everything in the topic is in PostgreSQL, by the offsets that count."""
    ends = run.cluster.kafka("kafka-get-offsets.sh", "--topic", topic).split()
    end = sum(int(line.rsplit(":", 1)[1]) for line in ends)
    next_offsets = f"SELECT coalesce(sum(next_offset), 0) FROM stream_offsets WHERE topic = '{topic}'"
    return int(run.cluster.sql(next_offsets, database)) == end


def refreshed(run: Run, database: Optional[str] = None) -> bool:
    """Whether what is stored is also in the results."""
    behind = "SELECT count(*) FROM stream_offsets WHERE refreshed_through IS DISTINCT FROM next_offset"
    return run.cluster.sql(behind, database) == "0"


def wait_stored(run: Run, topic: Optional[str] = None, database: Optional[str] = None) -> None:
    """Waits for a pipeline's topic in its database; without names, for those of emissions."""
    topic = topic or run.settings.topic
    until(
        "the whole topic stored and refreshed",
        RUN_S,
        lambda: stored(run, topic, database) and refreshed(run, database),
        pause=1,
    )


def scale(run: Run, replicas: int) -> None:
    run.cluster.run("scale", f"deployment/{CONSUMER}", f"--replicas={replicas}")
    if replicas == 0:
        until("no consumer left", 90, lambda: not run.cluster.consumers())


def reset(run: Run) -> None:
    """Empties facts, results and offsets with the consumer's own command, from its own template, while none runs."""
    deployment = run.cluster.json("get", "deployment", CONSUMER)
    template = deployment["spec"]["template"]
    container = template["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        container.pop(probe, None)
    container["args"] = ["reset", "--yes"]
    template["spec"]["restartPolicy"] = "Never"
    meta = {"labels": template["metadata"]["labels"]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "emissions-reset", **meta}}
    job["spec"] = {"backoffLimit": 0, "template": {"metadata": meta, "spec": template["spec"]}}
    run.cluster.run("apply", "-f", "-", stdin=json.dumps(job))
    workloads.wait_for(run.cluster, "job", "emissions-reset", 120)
    workloads.delete_job(run.cluster, "emissions-reset")


def topics(run: Run) -> list[str]:
    return run.cluster.kafka("kafka-topics.sh", "--list").split()


def consumers(run: Run) -> str:
    """From empty tables and an empty topic, one consumer is deleted and the other killed while facts come in."""
    run.same_tables()
    scale(run, 0)
    reset(run)
    run.cluster.kafka("kafka-topics.sh", "--delete", "--topic", run.settings.topic)
    until("the topic gone", 60, lambda: run.settings.topic not in topics(run))
    scale(run, 2)
    workloads.job_like(run.cluster, AGAIN, {"RATE": RATE})
    first = after_facts(run, 2_000)
    workloads.delete_pod(run.cluster, names(run)[0], "--wait=false")
    second = after_facts(run, first + 8_000)
    workloads.delete_pod(run.cluster, names(run)[-1], "--grace-period=0", "--force")
    workloads.wait_for(run.cluster, "job", AGAIN, RUN_S)
    workloads.delete_job(run.cluster, AGAIN)
    check_mid_run(run, second)
    workloads.wait_for(run.cluster, "deployment", CONSUMER, 120)
    wait_stored(run)
    return f"deleted one at {first} facts, killed one at {second}; {run.same_tables()}"


def check_mid_run(run: Run, facts: int) -> None:
    total = int(run.cluster.sql("SELECT count(*) FROM emissions_facts"))
    check(facts < total, f"nothing was left to do when the last pod was killed: {facts} facts of {total}")


def after_facts(run: Run, least: int) -> int:
    """Waits until so many facts are stored; gives how many there are."""

    def enough() -> Optional[int]:
        facts = int(run.cluster.sql("SELECT count(*) FROM emissions_changelog"))
        return facts if facts >= least else None

    return until(f"{least} facts", 120, enough, pause=0.2)


def names(run: Run) -> list[str]:
    """The consumers' pods that are not on their way out, the eldest first."""
    pods = [pod for pod in run.cluster.consumers() if "deletionTimestamp" not in pod["metadata"]]
    pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
    return [pod["metadata"]["name"] for pod in pods]


def server(run: Run, name: str) -> str:
    """Deletes a server's pod while records come in; producer and consumers wait for it, and are not started again."""
    before = run.cluster.restarts()
    workloads.job_like(run.cluster, AGAIN, {"RATE": RATE})
    until("the producer runs", 60, lambda: running(run))
    workloads.delete_pod(run.cluster, f"{name}-0")
    workloads.wait_for(run.cluster, "statefulset", name, 180)
    workloads.wait_for(run.cluster, "job", AGAIN, RUN_S)
    workloads.delete_job(run.cluster, AGAIN)
    wait_stored(run)
    workloads.wait(run.cluster)
    after = run.cluster.restarts()
    restarted = {pod: after[pod] - count for pod, count in before.items() if pod in after and after[pod] != count}
    check(not restarted, f"restarted meanwhile: {restarted}")
    return f"no program restarted; {run.same_tables()}"


def running(run: Run) -> bool:
    """Whether the producer of this check is at work."""
    return any(pod["status"]["phase"] == "Running" for pod in run.cluster.items("pods", f"job-name={AGAIN}"))


def kafka(run: Run) -> str:
    return server(run, "kafka")


def postgres(run: Run) -> str:
    return server(run, "postgres")
