"""The pipelines with a simulator. Their readings never end, so the simulator is taken away for each look at the tables."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Iterator

from . import again, answers, breaking, superset, workloads
from .cluster import check, until
from .run import Check, Run
from .settings import IOT, SENSORS, Pipeline

REPORT = "sensors-report"

# Readings come in each second, and a refresh follows within seconds. After an outage it takes longer: the cluster's name
# service may return a server's old address for half a minute.
MORE_S = 120

NEW = "SELECT coalesce(sum(new), 0) FROM ingest_accounting WHERE feed = '{}'"
REPORTED = "SELECT count(*), coalesce(sum((report->>'readings')::bigint), 0) FROM daily_reports"


@dataclass(frozen=True)
class Queries:
    """What is asked of a pipeline's windows."""

    # How many readings they have.
    readings: str
    # How many are not what the stored readings give.
    wrong: str


QUERIES = {
    SENSORS: Queries(
        "SELECT coalesce(sum(reading_count), 0) FROM sensor_temperatures",
        """
    SELECT count(*)
    FROM (SELECT sensor_id, window_start, count(*) AS readings, sum(temperature) AS total FROM sensor_readings GROUP BY 1, 2) AS r
    FULL JOIN sensor_temperatures AS w USING (sensor_id, window_start)
    WHERE r.readings IS DISTINCT FROM w.reading_count OR r.total * 1000 IS DISTINCT FROM w.sum_milli""",
    ),
    IOT: Queries(
        "SELECT coalesce(sum(reading_count), 0) FROM sensor_readings_stream_agg",
        """
    SELECT count(*)
    FROM (SELECT device_id, device_type, date_trunc('minute', time) AS window_start, count(*) AS readings,
                 sum(round(value::numeric * 1000)) AS total FROM sensor_readings GROUP BY 1, 2, 3) AS r
    FULL JOIN sensor_readings_stream_agg AS w USING (device_id, device_type, window_start)
    WHERE r.readings IS DISTINCT FROM w.reading_count OR r.total IS DISTINCT FROM w.sum_milli""",
    ),
}


def number(run: Run, query: str, pipeline: Pipeline) -> int:
    return int(run.cluster.sql(query, pipeline.database))


def readings(run: Run, pipeline: Pipeline) -> int:
    return number(run, QUERIES[pipeline].readings, pipeline)


def more(run: Run, pipeline: Pipeline) -> None:
    """Waits until there are more readings than now."""
    before = readings(run, pipeline)
    until("more readings", MORE_S, lambda: readings(run, pipeline) > before, pause=1)


@contextlib.contextmanager
def paused(run: Run, pipeline: Pipeline) -> Iterator[None]:
    """Everything that was sent is stored, and nothing more comes."""
    producer = f"{pipeline.name}-producer"
    run.cluster.run("scale", f"deployment/{producer}", "--replicas=0")
    pods = f"app.kubernetes.io/name=producer,app.kubernetes.io/instance={pipeline.name}"
    try:
        until("no producer left", 90, lambda: not run.cluster.items("pods", pods))
        breaking.wait_stored(run, pipeline)
        yield
    finally:
        run.cluster.run("scale", f"deployment/{producer}", "--replicas=1")
    workloads.wait_for(run.cluster, "deployment", producer, 120)


def right(run: Run, pipeline: Pipeline) -> str:
    """Every record was read once, none was rejected, and the windows are what the readings give."""
    with paused(run, pipeline):
        read = number(run, answers.READ, pipeline)
        sent = sum(breaking.end(run, topic) for topic in pipeline.topics)
        check(read == sent, f"{read} records were read, {sent} are in the topics")
        check(number(run, answers.UNBALANCED, pipeline) == 0, "a batch's accounting does not add up")
        rejects = number(run, "SELECT count(*) FROM rejects", pipeline)
        check(rejects == 0, f"{rejects} records were rejected")
        counted, new = readings(run, pipeline), number(run, NEW.format(pipeline.name), pipeline)
        check(counted == new, f"the windows have {counted} readings, and {new} were new")
        wrong = number(run, QUERIES[pipeline].wrong, pipeline)
        check(wrong == 0, f"{wrong} windows differ from their readings")
    return f"{counted} readings of {sent} records"


def up(pipeline: Pipeline) -> Check:
    """The pipeline comes up along with the others, which do not change; its windows grow."""

    def brought(run: Run) -> str:
        run.cluster.script("up", seconds=again.UP_S, DATA=str(run.settings.data), **{pipeline.name.upper(): "simulator"})
        workloads.wait(run.cluster)
        more(run, pipeline)
        return f"{right(run, pipeline)}; {superset.charts(run)}; {run.same_tables()}"

    return brought


def broken(pipeline: Pipeline) -> Check:
    """Consumers and servers are deleted while readings come in; nothing else is started again."""

    def deleted(run: Run) -> str:
        before = run.cluster.restarts()
        pods = breaking.names(run, pipeline)
        workloads.delete_pod(run.cluster, pods[0], "--wait=false")
        workloads.delete_pod(run.cluster, pods[-1], "--grace-period=0", "--force")
        workloads.wait_for(run.cluster, "deployment", pipeline.consumer, 120)
        more(run, pipeline)
        for server in ("kafka", "postgres"):
            workloads.delete_pod(run.cluster, f"{server}-0")
            workloads.wait_for(run.cluster, "statefulset", server, 180)
            more(run, pipeline)
        workloads.wait(run.cluster)
        restarted = breaking.restarted(run, before)
        check(not restarted, f"restarted meanwhile: {restarted}")
        return f"no program restarted; {right(run, pipeline)}; {run.same_tables()}"

    return deleted


def report(run: Run) -> str:
    """`warehouse report` stores every reading's day, in a Job that is made from the CronJob."""
    name = f"{REPORT}-e2e"
    workloads.delete_job(run.cluster, name)
    with paused(run, SENSORS):
        run.cluster.run("create", "job", name, f"--from=cronjob/{REPORT}")
        workloads.wait_for(run.cluster, "job", name, 120)
        reports, reported = run.cluster.sql(REPORTED, SENSORS.database).split("|")
        counted = readings(run, SENSORS)
        check(int(reports) > 0 and int(reported) == counted, f"{reports} reports of {reported} readings, not of {counted}")
    workloads.delete_job(run.cluster, name)
    return f"{reports} reports of {reported} readings; {superset.charts(run)}"
