"""The third pipeline. Its readings never end, so the simulator is taken away for each look at the tables."""

from __future__ import annotations

import contextlib
from typing import Iterator

from . import again, answers, breaking, superset, workloads
from .cluster import check, until
from .run import Run
from .settings import SENSORS

PRODUCER = "sensors-producer"
REPORT = "sensors-report"

# Twenty readings come in each second, and a refresh follows within seconds. After an outage it takes longer: the cluster's name
# service may return a server's old address for half a minute.
MORE_S = 120

READINGS = "SELECT coalesce(sum(reading_count), 0) FROM sensor_temperatures"
NEW = "SELECT coalesce(sum(new), 0) FROM ingest_accounting WHERE feed = 'sensors'"
# The windows that are not what the stored readings give.
WRONG = """
    SELECT count(*)
    FROM (SELECT sensor_id, window_start, count(*) AS readings, sum(temperature) AS total FROM sensor_readings GROUP BY 1, 2) AS r
    FULL JOIN sensor_temperatures AS w USING (sensor_id, window_start)
    WHERE r.readings IS DISTINCT FROM w.reading_count OR r.total * 1000 IS DISTINCT FROM w.sum_milli"""
REPORTED = "SELECT count(*), coalesce(sum((report->>'readings')::bigint), 0) FROM daily_reports"


def number(run: Run, query: str) -> int:
    return int(run.cluster.sql(query, SENSORS.database))


def more(run: Run) -> None:
    """Waits until there are more readings than now."""
    before = number(run, READINGS)
    until("more readings", MORE_S, lambda: number(run, READINGS) > before, pause=1)


@contextlib.contextmanager
def paused(run: Run) -> Iterator[None]:
    """Everything that was sent is stored, and nothing more comes."""
    run.cluster.run("scale", f"deployment/{PRODUCER}", "--replicas=0")
    pods = "app.kubernetes.io/name=producer,app.kubernetes.io/instance=sensors"
    try:
        until("no producer left", 90, lambda: not run.cluster.items("pods", pods))
        breaking.wait_stored(run, SENSORS)
        yield
    finally:
        run.cluster.run("scale", f"deployment/{PRODUCER}", "--replicas=1")
    workloads.wait_for(run.cluster, "deployment", PRODUCER, 120)


def right(run: Run) -> str:
    """Every record was read once, none was rejected, and the windows are what the readings give."""
    with paused(run):
        read, sent = number(run, answers.READ), sum(breaking.end(run, topic) for topic in SENSORS.topics)
        check(read == sent, f"{read} records were read, {sent} are in the topics")
        check(number(run, answers.UNBALANCED) == 0, "a batch's accounting does not add up")
        rejects = number(run, "SELECT count(*) FROM rejects")
        check(rejects == 0, f"{rejects} records were rejected")
        readings, new = number(run, READINGS), number(run, NEW)
        check(readings == new, f"the windows have {readings} readings, and {new} were new")
        wrong = number(run, WRONG)
        check(wrong == 0, f"{wrong} windows differ from their readings")
    return f"{readings} readings of {sent} records"


def up(run: Run) -> str:
    """The third pipeline comes up along with the others, which do not change; its windows grow."""
    run.cluster.script("up", seconds=again.UP_S, DATA=str(run.settings.data), SENSORS="simulator")
    workloads.wait(run.cluster)
    more(run)
    return f"{right(run)}; {run.same_tables()}"


def broken(run: Run) -> str:
    """Consumers and servers are deleted while readings come in; nothing else is started again."""
    before = run.cluster.restarts()
    pods = breaking.names(run, SENSORS)
    workloads.delete_pod(run.cluster, pods[0], "--wait=false")
    workloads.delete_pod(run.cluster, pods[-1], "--grace-period=0", "--force")
    workloads.wait_for(run.cluster, "deployment", SENSORS.consumer, 120)
    more(run)
    for server in ("kafka", "postgres"):
        workloads.delete_pod(run.cluster, f"{server}-0")
        workloads.wait_for(run.cluster, "statefulset", server, 180)
        more(run)
    workloads.wait(run.cluster)
    restarted = breaking.restarted(run, before)
    check(not restarted, f"restarted meanwhile: {restarted}")
    return f"no program restarted; {right(run)}; {run.same_tables()}"


def report(run: Run) -> str:
    """`warehouse report` stores every reading's day, in a Job that is made from the CronJob."""
    name = f"{REPORT}-e2e"
    workloads.delete_job(run.cluster, name)
    with paused(run):
        run.cluster.run("create", "job", name, f"--from=cronjob/{REPORT}")
        workloads.wait_for(run.cluster, "job", name, 120)
        reports, reported = run.cluster.sql(REPORTED, SENSORS.database).split("|")
        readings = number(run, READINGS)
        check(int(reports) > 0 and int(reported) == readings, f"{reports} reports of {reported} readings, not of {readings}")
    workloads.delete_job(run.cluster, name)
    return f"{reports} reports of {reported} readings; {superset.charts(run)}"
