"""The dashboards, as a browser and Superset's API see them."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import selectors
import subprocess
import time
import urllib.error
import urllib.request
from typing import Iterator

from . import workloads
from .cluster import check, until
from .report import Failed
from .run import Run
from .settings import ROOT

# kubectl prints where it listens as soon as it does.
FORWARD_S = 30

# Each chart is one query of a small database; a dashboard's picture is a page load of some seconds.
TOOL_S = 600


@contextlib.contextmanager
def forwarded(run: Run) -> Iterator[str]:
    """The dashboards' address, for as long as kubectl forwards a free port to the Service."""
    command = run.cluster.command("port-forward", "--pod-running-timeout=1s", "service/superset", ":8088")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield f"http://127.0.0.1:{port(process)}"
        finally:
            process.terminate()


def port(process: "subprocess.Popen[bytes]") -> int:
    """The port that kubectl has chosen."""
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + FORWARD_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline and selector.select(deadline - time.monotonic()):
            more = os.read(process.stdout.fileno(), 4096)
            said += more
            found = re.search(rb"127\.0\.0\.1:(\d+) ->", said)
            if found:
                return int(found.group(1))
            if not more:
                break
    raise Failed(f"kubectl port-forward does not forward: {said.decode(errors='replace').strip()}")


def password(run: Run) -> str:
    secret = run.cluster.json("get", "secret", "tributary-secrets")
    return base64.b64decode(secret["data"]["SUPERSET_ADMIN_PASSWORD"]).decode()


def page(url: str) -> bytes:
    """A page; raises Failed where none comes."""
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return bytes(response.read())
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"{url}: {error}") from error


def responds(run: Run) -> bool:
    """Whether the log-in page comes. /health says OK before that does."""
    with forwarded(run) as url:
        return b"csrf_token" in page(f"{url}/login/")


def tool(run: Run, name: str, *args: str) -> str:
    """Runs one of superset/tools/ against the forwarded port; its output goes to the report."""
    tools = [str(ROOT / "scripts" / "superset"), "tools"]
    python = subprocess.run(tools, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=TOOL_S, check=False)
    check(python.returncode == 0, f"scripts/superset tools ended with {python.returncode}")
    environment = {**os.environ, "SUPERSET_ADMIN_PASSWORD": password(run)}
    with forwarded(run) as url:
        command = [python.stdout.strip(), str(ROOT / "superset" / "tools" / name), url, *args]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TOOL_S, check=False
        )
    for line in (done.stdout + done.stderr).splitlines():
        run.report.write(f"      {name}: {line}")
    check(done.returncode == 0, f"{name} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-600:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def charts(run: Run) -> str:
    """Every chart's query returns rows, and an anonymous visitor gets none."""
    return tool(run, "check.py")


def pictures(run: Run) -> str:
    """A picture of each dashboard, kept in docs/images."""
    folder = ROOT / "docs" / "images"
    tool(run, "pictures.py", str(folder))
    return f"{len(list(folder.glob('*.png')))} pictures in {folder.relative_to(ROOT)}"


def pod_deleted(run: Run) -> str:
    """Superset keeps nothing in its pod."""
    (pod,) = run.cluster.pods("superset")
    workloads.delete_pod(run.cluster, pod["metadata"]["name"])
    workloads.wait_for(run.cluster, "deployment", "superset", 300)
    until("the log-in page", 60, lambda: responds(run))
    return f"{charts(run)}; {run.same_tables()}"
