"""What a user does with a system that is up: the usual commands, and the figures they print."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from . import breaking
from .cluster import APPLIED, check, until
from .run import Run
from .settings import EMISSIONS

SIZES = """
    SELECT string_agg(n::text, '/' ORDER BY cluster)
    FROM (SELECT cluster, count(*) AS n FROM co2_clusters GROUP BY 1) AS c"""
UNBALANCED = "SELECT count(*) FROM ingest_accounting WHERE read <> new + unchanged + corrected + filtered + rejected"
LOGGED_IN = """
    SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename)
    FROM pg_stat_activity WHERE client_addr IS NOT NULL"""
READ = "SELECT coalesce(sum(read), 0) FROM ingest_accounting"
STATS = "SELECT count(*) FROM cluster_stats WHERE batch_id = (SELECT max(batch_id) FROM cluster_runs WHERE complete)"


@dataclass(frozen=True)
class Counts:
    """What is in a database."""

    facts: int
    read: int
    runs: int


def counts_of(run: Run, database: str) -> Counts:
    query = f"SELECT (SELECT count(*) FROM emissions_facts), ({READ}), (SELECT count(*) FROM cluster_runs)"
    return Counts(*map(int, run.cluster.sql(query, database).split("|")))


def jobs(run: Run) -> str:
    """Every Job has completed, at its first try."""
    done = run.cluster.items("jobs", APPLIED)
    names = [job["metadata"]["name"] for job in done]
    check({"emissions-migrate", "emissions-producer", "superset-init"} <= set(names), f"Jobs: {names}")
    for job in done:
        check(job["status"].get("succeeded") == 1, f"{job['metadata']['name']} has not completed")
        check(not job["status"].get("failed"), f"{job['metadata']['name']} failed {job['status'].get('failed')} times")
    return ", ".join(names)


def sent(run: Run) -> int:
    """How many records the producer says that it has sent."""
    log = run.cluster.logs("job/emissions-producer")
    found = re.search(r"read (\d+), sent (\d+), filtered (\d+), rejected (\d+)", log)
    check(found is not None, f"the producer's log has no summary: {log[-300:]}")
    assert found is not None
    return int(found.group(2))


def logs(run: Run) -> str:
    """The lines that the README lists to grep for."""
    wanted = {
        ("job/emissions-migrate",): [r"the schema is up to date"],
        ("job/emissions-producer",): [r"sent: .+ - \d{4}", r"read \d+, sent \d+, filtered \d+, rejected \d+"],
        ("-l", "app.kubernetes.io/name=consumer"): [
            r"claimed and loaded",
            r"batch \d+ with \d+ records saved to PostgreSQL",
            r"\d+ clusters for \d+ countries",
            r"refreshed batch_id \d+ in \d+ ms: \d+(/\d+)*; largest of \d+: ",
        ],
    }
    for what, patterns in wanted.items():
        log = run.cluster.logs(*what)
        for pattern in patterns:
            check(re.search(pattern, log) is not None, f"kubectl logs {' '.join(what)} has no line with {pattern}")
    known = run.settings.known
    if known:
        check(sent(run) == known.sent, f"{sent(run)} sent, not {known.sent}")
    return f"{sum(map(len, wanted.values()))} kinds of lines"


def counts(run: Run) -> str:
    """The accounting adds up, no record is lost, and the real file gives its known figures."""
    sql = run.cluster.sql
    until("all that was sent is stored", 120, lambda: int(sql(READ)) >= sent(run))
    all_read = int(sql(READ))
    # On what was up before this run, the file may have been sent more than once.
    check(all_read == sent(run) or run.applied is None, f"{all_read} read, {sent(run)} sent")
    check(sql(UNBALANCED) == "0", "a batch's accounting does not add up")
    facts, sizes = int(sql("SELECT count(*) FROM emissions_facts")), sql(SIZES)
    known = run.settings.known
    if known:
        clustered = sum(map(int, sizes.split("/")))
        check(facts + known.filtered == known.sent, f"{facts} facts of {known.sent} records")
        found, expected = (facts, sizes, clustered), (known.facts, known.sizes, known.clustered)
        check(found == expected, f"facts, sizes, clustered: {found}, not {expected}")
    clusters = str(len(sizes.split("/")))
    check(sql(STATS) == clusters, "the latest run has not one row of cluster_stats a cluster")
    check(sql("SELECT count(*) FROM cluster_analysis") == clusters, "cluster_analysis has another number of clusters")
    check(int(sql("SELECT count(*) FROM top_emitters_by_cluster")) > 0, "top_emitters_by_cluster is empty")
    run.same_tables()
    figures = "the real file's figures" if known else "an unknown file: only the invariants"
    return f"{all_read} read, {facts} facts, {sizes}; {figures}"


def topic(run: Run) -> str:
    """Kafka's own tools work in its pod, and a record is what its users expect."""
    topics = breaking.topics(run)
    check(EMISSIONS.topic in topics, f"topics: {topics}")
    first = ("--from-beginning", "--max-messages", "1", "--timeout-ms", "30000")
    said = run.cluster.kafka("kafka-console-consumer.sh", "--topic", EMISSIONS.topic, *first)
    record = json.loads(said.strip().splitlines()[0])
    wanted = {"country", "year", "iso_code", "population", "gdp", "co2", "co2_per_capita"}
    check(set(record) == wanted, f"a record has {sorted(record)}")
    return f"{EMISSIONS.topic}: {record['country']} {record['year']}"


def roles(run: Run) -> str:
    """Each program has its own role, and the dashboards' one cannot write."""
    read_only = run.cluster.try_run(
        *("exec", "statefulset/postgres", "--", "psql", "-U", "postgres", "-d", EMISSIONS.database, "-Xq"),
        *("-c", "SET ROLE tributary_reader", "-c", "DELETE FROM co2_clusters"),
    )
    check("permission denied" in read_only.stderr, f"the reader may delete: {read_only.stdout}{read_only.stderr}")
    users = run.cluster.sql(LOGGED_IN)
    check("tributary_writer" in users.split(), f"logged in: {users}")
    check("postgres" not in users.split(), f"a program is logged in as the superuser: {users}")
    return f"logged in over the network: {users}"
