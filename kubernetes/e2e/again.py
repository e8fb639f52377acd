"""What is done to a system that is up: applied again, migrated anew, taken down, brought up, removed."""

from __future__ import annotations

import re
from typing import Any

from . import answers, breaking, superset, workloads
from .cluster import APPLIED, NAMESPACE, check, until
from .run import Check, Run
from .settings import EMISSIONS, ENERGY, ROOT, Pipeline

# make up, with the images built: what an apply takes, and the clusters.
UP_S = 1200


def applied_twice(run: Run) -> str:
    """A second apply changes nothing. kubectl says "configured" of a disruption budget whose patch changes nothing, so
    it is the version that the server gives to each change that counts."""
    before = versions(run)
    made = [line for line in run.cluster.apply().splitlines() if line.endswith(" created")]
    check(not made, f"made by the second apply: {made}")
    after = versions(run)
    changed = [name for name, version in after.items() if before.get(name) != version]
    check(not changed, f"changed by the second apply: {changed}")
    return f"{len(after)} objects unchanged"


def versions(run: Run) -> dict[str, str]:
    """The version of each object that an apply is about."""
    objects = run.cluster.json("get", "-k", str(ROOT / "kubernetes"))["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in objects}


def uids(run: Run) -> set[str]:
    return {item["metadata"]["uid"] for item in run.cluster.items("pods,jobs,deployments,statefulsets", APPLIED)}


def dry_run(run: Run) -> str:
    """The server accepts every overlay without a warning."""
    seen = []
    for overlay in ("kubernetes", "kubernetes/sample"):
        done = run.cluster.try_run("apply", "--dry-run=server", "-k", str(ROOT / overlay))
        check(done.returncode == 0 and not done.stderr, f"the server says of {overlay}: {done.stderr[-600:]}")
        seen.append(f"{len(done.stdout.splitlines())} objects of {overlay}")
    return f"{', '.join(seen)}, no warning"


def migrated(pipeline: Pipeline) -> Check:
    """Without a database, consumers wait, unready and saying why; after `migrate up` they fill a new one."""

    def renamed(run: Run) -> str:
        database = pipeline.database
        before = f"{database}_before"
        breaking.scale(run, 0, pipeline)
        others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        run.cluster.sql(others, "postgres")
        run.cluster.sql(f"ALTER DATABASE {database} RENAME TO {before}", "postgres")
        breaking.scale(run, 2, pipeline)

        def waiting() -> bool:
            pods = run.cluster.consumers(pipeline)
            logs = [run.cluster.logs(pod["metadata"]["name"]) for pod in pods]
            return len(pods) == 2 and all("waiting for postgres and the schema" in log for log in logs)

        until("both consumers wait for the schema", 60, waiting)
        check(not any(ready(pod) for pod in run.cluster.consumers(pipeline)), "a consumer is ready without a database")
        workloads.delete_job(run.cluster, f"{pipeline.name}-migrate")
        # Until the second pipeline came with `make up`, the folder itself was applied.
        if pipeline is EMISSIONS:
            run.cluster.apply()
        else:
            run.cluster.script("up", seconds=UP_S, DATA="")
        workloads.wait(run.cluster)
        restarted = {pod: count for pod, count in run.cluster.restarts().items() if count and pipeline.consumer in pod}
        check(not restarted, f"restarted meanwhile: {restarted}")
        breaking.wait_stored(run, pipeline)
        run.cluster.sql(f"DROP DATABASE {before}", "postgres")
        return f"a new database was filled from the topic; {run.same_tables(pipeline)}"

    return renamed


def ready(pod: Any) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def down_and_up(run: Run) -> str:
    """make down keeps namespace, claims and secrets; make up goes on where it was."""
    run.same_tables()
    claims = kept(run)
    run.cluster.script("down", seconds=400)
    left = run.cluster.items("pods,deployments,statefulsets,cronjobs,jobs,services")
    check(not left, f"left: {[item['metadata']['name'] for item in left]}")
    check(kept(run) == claims, f"claims and secrets: {kept(run)}, not {claims}")
    run.cluster.script("up", seconds=UP_S, DATA=str(run.settings.data))
    breaking.wait_stored(run)
    superset.charts(run)
    return f"kept {len(claims)} claims and secrets; {run.same_tables()}"


def kept(run: Run) -> set[str]:
    return {item["metadata"]["uid"] for item in run.cluster.items("persistentvolumeclaims,secrets")}


def same_after_up(run: Run) -> str:
    """make up on what is up changes nothing."""
    before = uids(run)
    run.cluster.script("up", seconds=UP_S, DATA="")
    check(uids(run) == before, "make up on a system that is up has recreated pods or Jobs")
    return run.same_tables()


def energy(run: Run) -> str:
    """The second pipeline comes up along with the first, which does not change."""
    settings = run.settings
    run.cluster.script("up", seconds=UP_S, DATA=str(settings.data), ENERGY=str(settings.energy))
    breaking.wait_stored(run, ENERGY)
    found = run.cluster.sql("SELECT count(*), sum(record_count) FROM quarterly_energy_data", ENERGY.database)
    quarters, minutes = found.split("|")
    if settings.known_energy:
        check((int(quarters), int(minutes)) == settings.known_energy, f"{quarters} quarters, {minutes} minutes")
    check(run.cluster.sql(answers.UNBALANCED, ENERGY.database) == "0", "a batch's accounting does not add up")
    shown = superset.charts(run)
    return f"{quarters} quarters, {minutes} minutes; {shown}; {run.same_tables()}; {run.same_tables(ENERGY)}"


def sample(run: Run) -> str:
    """The made sample goes to separate tables, and the real ones do not change."""
    before = answers.counts_of(run, EMISSIONS.database)
    run.cluster.script("up", seconds=UP_S, DATA="sample")
    made = answers.counts_of(run, f"{EMISSIONS.database}_sample")
    check(made.facts > 0 and made.facts != before.facts, f"the sample's database has {made.facts} facts")
    check(answers.counts_of(run, EMISSIONS.database) == before, "the real tables have changed")
    superset.charts(run)
    run.cluster.script("up", seconds=UP_S, DATA=str(run.settings.data))
    breaking.wait_stored(run)
    return f"{made.facts} made facts in {EMISSIONS.database}_sample; {run.same_tables()}"


def status(run: Run) -> str:
    """make status shows the accounting, the lag and the latest run."""
    said = run.cluster.script("status", seconds=120)
    for pattern in ("lag +0 records", r"accounting +\d+ read = ", r"facts +\d+ facts of \d+", r"latest run +batch_id \d+ "):
        found = re.search("^" + pattern, said, re.MULTILINE)
        check(found is not None, f"make status has no line with {pattern}: {said[-400:]}")
    return str(re.findall(r"^latest run +(.*)", said, re.MULTILINE)[0])


def purged(run: Run) -> str:
    """make purge asks for a confirmation; with it, nothing is left."""
    refused = run.cluster.call("purge", seconds=60)
    kept_all = refused.returncode == 64 and "nothing was removed" in refused.stdout
    check(kept_all, f"without a confirmation, make purge says: {refused.stdout}")
    run.cluster.script("purge", seconds=400, YES="1")
    exists = run.cluster.try_run("get", "namespace", NAMESPACE).returncode == 0
    check(not exists, f"the namespace {NAMESPACE} still exists")
    volumes = ("get", "persistentvolumes", "-o", "jsonpath={.items[*].spec.claimRef.namespace}")
    until("its volumes gone", 120, lambda: NAMESPACE not in run.cluster.run(*volumes).split())
    return "no namespace and no volume is left"
