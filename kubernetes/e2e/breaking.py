"""Pods deleted in the middle of their work; the tables are the same afterwards, bit for bit."""

from __future__ import annotations

import json
from typing import Optional

from . import workloads
from .cluster import check, until
from .run import Check, Run
from .settings import EMISSIONS, Pipeline

# A run at its rate, a pod's grace period and its start, and what the programs wait before they try again.
RUN_S = 240


def end(run: Run, topic: str) -> int:
    """How many records a topic has had."""
    ends = run.cluster.kafka("kafka-get-offsets.sh", "--topic", topic).split()
    return sum(int(line.rsplit(":", 1)[1]) for line in ends)


def stored(run: Run, pipeline: Pipeline) -> bool:
    """Whether everything in the topics is in PostgreSQL, by the offsets that count."""
    next_offsets = "SELECT coalesce(sum(next_offset), 0) FROM stream_offsets WHERE topic = '{}'"
    return all(
        int(run.cluster.sql(next_offsets.format(topic), pipeline.database)) == end(run, topic)
        for topic in pipeline.topics
    )


def refreshed(run: Run, pipeline: Pipeline) -> bool:
    """Whether what is stored is also in the results."""
    behind = "SELECT count(*) FROM stream_offsets WHERE refreshed_through IS DISTINCT FROM next_offset"
    return run.cluster.sql(behind, pipeline.database) == "0"


def wait_stored(run: Run, pipeline: Pipeline = EMISSIONS) -> None:
    """Waits until a pipeline's topic is in its database."""
    until(
        "the whole topic stored and refreshed",
        RUN_S,
        lambda: stored(run, pipeline) and refreshed(run, pipeline),
        pause=1,
    )


def scale(run: Run, replicas: int, pipeline: Pipeline = EMISSIONS) -> None:
    run.cluster.run("scale", f"deployment/{pipeline.consumer}", f"--replicas={replicas}")
    if replicas == 0:
        until("no consumer left", 90, lambda: not run.cluster.consumers(pipeline))


def reset(run: Run, pipeline: Pipeline) -> None:
    """Empties facts, results and offsets with the consumer's own command, from its own template, while none runs."""
    deployment = run.cluster.json("get", "deployment", pipeline.consumer)
    template = deployment["spec"]["template"]
    container = template["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        container.pop(probe, None)
    container["args"] = ["reset", "--yes"]
    template["spec"]["restartPolicy"] = "Never"
    meta = {"labels": template["metadata"]["labels"]}
    name = f"{pipeline.name}-reset"
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **meta}}
    job["spec"] = {"backoffLimit": 0, "template": {"metadata": meta, "spec": template["spec"]}}
    run.cluster.run("apply", "-f", "-", stdin=json.dumps(job))
    workloads.wait_for(run.cluster, "job", name, 120)
    workloads.delete_job(run.cluster, name)


def topics(run: Run) -> list[str]:
    return run.cluster.kafka("kafka-topics.sh", "--list").split()


def consumers(pipeline: Pipeline) -> Check:
    """From empty tables and an empty topic, one consumer is deleted and another killed while facts come in."""

    def deleted(run: Run) -> str:
        run.same_tables(pipeline)
        scale(run, 0, pipeline)
        reset(run, pipeline)
        run.cluster.kafka("kafka-topics.sh", "--delete", "--topic", pipeline.topic)
        until("the topic gone", 60, lambda: pipeline.topic not in topics(run))
        scale(run, 2, pipeline)
        workloads.send_again(run.cluster, pipeline)
        first = after_facts(run, pipeline, pipeline.facts[0])
        workloads.delete_pod(run.cluster, names(run, pipeline)[0], "--wait=false")
        second = after_facts(run, pipeline, first + pipeline.facts[1])
        workloads.delete_pod(run.cluster, names(run, pipeline)[-1], "--grace-period=0", "--force")
        wait_sent(run, pipeline)
        workloads.wait_for(run.cluster, "deployment", pipeline.consumer, 120)
        wait_stored(run, pipeline)
        total = facts(run, pipeline)
        check(second < total, f"nothing was left to do when the last pod was killed: {second} facts of {total}")
        return f"deleted one at {first} facts, killed one at {second}; {run.same_tables(pipeline)}"

    return deleted


def wait_sent(run: Run, pipeline: Pipeline) -> None:
    """Waits for the Job that sends the file again, and deletes it."""
    workloads.wait_for(run.cluster, "job", pipeline.again, RUN_S)
    workloads.delete_job(run.cluster, pipeline.again)


def facts(run: Run, pipeline: Pipeline) -> int:
    """The facts that are stored."""
    return int(run.cluster.sql(f"SELECT coalesce(sum(facts), 0) FROM {pipeline.name}_segments", pipeline.database))


def after_facts(run: Run, pipeline: Pipeline, least: int) -> int:
    """Waits until so many facts are stored; gives how many there are."""

    def enough() -> Optional[int]:
        found = facts(run, pipeline)
        return found if found >= least else None

    return until(f"{least} facts", 120, enough, pause=0.2)


def names(run: Run, pipeline: Pipeline) -> list[str]:
    """The consumers' pods that are not on their way out, the eldest first."""
    pods = [pod for pod in run.cluster.consumers(pipeline) if "deletionTimestamp" not in pod["metadata"]]
    pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
    return [pod["metadata"]["name"] for pod in pods]


def restarted(run: Run, before: dict[str, int]) -> dict[str, int]:
    """The pods whose containers were started again since, and how often."""
    after = run.cluster.restarts()
    return {pod: after[pod] - count for pod, count in before.items() if pod in after and after[pod] != count}


def server(name: str, pipeline: Pipeline) -> Check:
    """Deletes a server's pod while records come in; producer and consumers wait for it, and are not started again."""

    def deleted(run: Run) -> str:
        before = run.cluster.restarts()
        run.same_tables(pipeline)
        workloads.send_again(run.cluster, pipeline)
        until("the producer runs", 60, lambda: running(run, pipeline))
        workloads.delete_pod(run.cluster, f"{name}-0")
        workloads.wait_for(run.cluster, "statefulset", name, 180)
        wait_sent(run, pipeline)
        wait_stored(run, pipeline)
        workloads.wait(run.cluster)
        again = restarted(run, before)
        check(not again, f"restarted meanwhile: {again}")
        return f"no program restarted; {run.same_tables(pipeline)}"

    return deleted


def running(run: Run, pipeline: Pipeline) -> bool:
    """Whether the producer of this check is at work."""
    return any(pod["status"]["phase"] == "Running" for pod in run.cluster.items("pods", f"job-name={pipeline.again}"))
