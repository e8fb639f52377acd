"""kubectl, and the queries to the cluster through it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any, Callable, Optional, TypeVar

from .report import Failed, Report
from .settings import EMISSIONS, ROOT, Pipeline, Settings

NAMESPACE = "tributary"
OURS = "app.kubernetes.io/part-of=tributary"
# What an apply makes, without the Jobs and pods that come from a CronJob in their time.
APPLIED = f"{OURS},app.kubernetes.io/name!=warehouse"

# kubectl's own calls are seconds; one that takes a minute hangs.
CALL_S = 60

T = TypeVar("T")


class Cluster:
    """One cluster, through the kubectl context of the settings."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self.settings = settings
        self.report = report

    def command(self, *args: str) -> list[str]:
        return ["kubectl", "--context", self.settings.context, "-n", NAMESPACE, *args]

    def try_run(
        self, *args: str, stdin: Optional[str] = None, seconds: float = CALL_S
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; the caller checks its exit code."""
        command = self.command(*args)
        try:
            return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as expired:
            return subprocess.CompletedProcess(expired.cmd, 124, "", f"not done within {seconds:.0f} s")

    def run(self, *args: str, stdin: Optional[str] = None, seconds: float = CALL_S) -> str:
        """Runs kubectl and gives its output; raises Failed with its error when it fails."""
        done = self.try_run(*args, stdin=stdin, seconds=seconds)
        if done.returncode != 0:
            raise Failed(f"kubectl {' '.join(args[:4])} … ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "-o", "json"))

    def items(self, kind: str, selector: str = OURS) -> list[Any]:
        return list(self.json("get", kind, "-l", selector)["items"])

    def pods(self, name: str) -> list[Any]:
        """The pods of that app.kubernetes.io/name."""
        return self.items("pods", f"app.kubernetes.io/name={name}")

    def consumers(self, pipeline: Pipeline = EMISSIONS) -> list[Any]:
        """The pods of a pipeline's consumer."""
        return self.items("pods", f"app.kubernetes.io/name=consumer,app.kubernetes.io/instance={pipeline.name}")

    def logs(self, *what: str) -> str:
        return self.run("logs", "--tail=-1", *what)

    def exec(self, what: str, *command: str, seconds: float = CALL_S) -> str:
        return self.run("exec", what, "--", *command, seconds=seconds)

    def sql(self, query: str, database: Optional[str] = None) -> str:
        """What psql in the PostgreSQL pod prints: rows as lines, columns apart by |."""
        login = ("psql", "-U", "postgres", "-d", database or EMISSIONS.database)
        return self.exec("statefulset/postgres", *login, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query).strip()

    def kafka(self, tool: str, *args: str) -> str:
        return self.exec("kafka-0", f"/opt/kafka/bin/{tool}", "--bootstrap-server", "localhost:9092", *args)

    def hash(self, pipeline: Pipeline = EMISSIONS) -> str:
        """What `consumer hash` prints in a consumer's pod: equal facts give equal lines."""
        return self.exec(f"deployment/{pipeline.consumer}", "consumer", "hash").strip()

    def apply(self, overlay: str = "kubernetes") -> str:
        return self.run("apply", "-k", str(ROOT / overlay))

    def call(self, name: str, *args: str, seconds: float, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs one of scripts/, as `make` does, without a terminal; its output goes to the report."""
        command = [str(ROOT / "scripts" / name), *args]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "YES": "", "ENERGY": "", "SENSORS": "", "IOT": "", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        for line in done.stdout.splitlines():
            self.report.write(f"      {name}: {line}")
        return done

    def script(self, name: str, *args: str, seconds: float, **variables: str) -> str:
        """As `call`, and raises Failed when it fails or takes too long."""
        try:
            done = self.call(name, *args, seconds=seconds, **variables)
        except subprocess.TimeoutExpired as expired:
            raise Failed(f"scripts/{name} was not done within {seconds:.0f} s") from expired
        if done.returncode != 0:
            last = " / ".join(done.stdout.strip().splitlines()[-3:])
            raise Failed(f"scripts/{name} ended with {done.returncode}: {last}")
        return done.stdout

    def restarts(self) -> dict[str, int]:
        """How often the containers of each pod were started again."""
        return {
            pod["metadata"]["name"]: sum(state["restartCount"] for state in pod["status"].get("containerStatuses", []))
            for pod in self.items("pods")
        }


def until(what: str, seconds: float, probe: Callable[[], Optional[T]], pause: float = 0.5) -> T:
    """The first result of the probe that is neither None nor False; raises Failed at the deadline, with the probe's last failure.

    A probe may raise Failed: a cluster in the middle of a change does not answer every query.
    """
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            result = probe()
            if result is not None and result is not False:
                return result
        except Failed as failed:
            last = f" ({failed})"
        if time.monotonic() >= deadline:
            raise Failed(f"{what}: not within {seconds:.0f} s{last}")
        time.sleep(pause)


def check(holds: bool, otherwise: str) -> None:
    """Raises Failed, saying what is otherwise, unless it holds."""
    if not holds:
        raise Failed(otherwise)
