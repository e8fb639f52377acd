"""The files under assets/: read, and rendered for one installation. Knows nothing of Superset's code."""

import copy
from pathlib import Path
from typing import Any

import yaml

from .faults import INPUT, Fault
from .settings import Source

KINDS = ("databases", "datasets", "charts", "dashboards")
FOLDER = Path(__file__).resolve().parent.parent / "assets"

NOTICE = (
    "#### Made sample: no real figure\n\n"
    "What follows was computed from a sample that a seeded generator of the project made. "
    "Send real data to see real figures."
)
# The rest of a dashboard stays below it, unchanged.
NOTICE_HEIGHT = 14

Assets = dict[str, dict[str, Any]]


def read(folder: Path = FOLDER) -> Assets:
    """Reads every file into a map from its path below the folder to what it says."""
    found: Assets = {}
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).as_posix()
        try:
            found[name] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise Fault(INPUT, f"assets/{name} is not YAML: {error}") from error
    if "metadata.yaml" not in found:
        raise Fault(INPUT, f"{folder} has no metadata.yaml")
    return found


def of_kind(assets: Assets, kind: str) -> list[dict[str, Any]]:
    """Gives the databases, datasets, charts or dashboards."""
    return [asset for name, asset in assets.items() if name.startswith(f"{kind}/")]


def uuids(assets: Assets, kind: str) -> set[str]:
    """Gives their identities."""
    return {asset["uuid"] for asset in of_kind(assets, kind)}


def relations(assets: Assets) -> list[str]:
    """Gives the tables and views that datasets read as they are; virtual datasets read the same ones."""
    return sorted(dataset["table_name"] for dataset in of_kind(assets, "datasets") if not dataset.get("sql"))


def of_pipeline(assets: Assets, pipeline: str) -> Assets:
    """Gives what belongs to a pipeline: its database, the datasets that read it, their charts, the charts' dashboards."""
    if f"databases/{pipeline}.yaml" not in assets:
        raise Fault(INPUT, f"assets/databases/{pipeline}.yaml is missing")
    own = {f"databases/{pipeline}.yaml": assets[f"databases/{pipeline}.yaml"]}
    for kind, parent in (("datasets", "database_uuid"), ("charts", "dataset_uuid")):
        known = {asset["uuid"] for asset in own.values()}
        own.update((name, one) for name, one in assets.items() if name.startswith(f"{kind}/") and one[parent] in known)
    charts = uuids(own, "charts")
    dashboards = ((name, one) for name, one in assets.items() if name.startswith("dashboards/"))
    own.update((name, one) for name, one in dashboards if charts_of(one) & charts)
    return own


def charts_of(dashboard: dict[str, Any]) -> set[str]:
    """Gives the identities of a dashboard's charts."""
    parts = (part for part in dashboard["position"].values() if isinstance(part, dict))
    return {part["meta"]["uuid"] for part in parts if part.get("type") == "CHART"}


def render(assets: Assets, sources: list[Source]) -> Assets:
    """Takes the pipelines that are shown, and puts in what only the installation knows of each: where its database is,
    and whether its data were made up."""
    rendered = {"metadata.yaml": assets["metadata.yaml"]}
    for source in sources:
        own = copy.deepcopy(of_pipeline(assets, source.pipeline))
        for database in of_kind(own, "databases"):
            database["sqlalchemy_uri"] = source.url
        if source.sample:
            for dashboard in of_kind(own, "dashboards"):
                say_made(dashboard)
        rendered.update(own)
    return rendered


def say_made(dashboard: dict[str, Any]) -> None:
    """Marks a dashboard as one of made data, in its title and at its top."""
    dashboard["dashboard_title"] += " (made sample)"
    position = dashboard["position"]
    position["HEADER_ID"]["meta"]["text"] = dashboard["dashboard_title"]
    parents = ["ROOT_ID", "GRID_ID"]
    meta = {"code": NOTICE, "width": 12, "height": NOTICE_HEIGHT}
    position["ROW-made"] = {
        "id": "ROW-made",
        "type": "ROW",
        "children": ["MARKDOWN-made"],
        "parents": parents,
        "meta": {"background": "BACKGROUND_TRANSPARENT"},
    }
    position["MARKDOWN-made"] = {
        "id": "MARKDOWN-made",
        "type": "MARKDOWN",
        "children": [],
        "parents": [*parents, "ROW-made"],
        "meta": meta,
    }
    position["GRID_ID"]["children"].insert(0, "ROW-made")
