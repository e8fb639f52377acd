"""The files under assets/ fit each other and the migrations, so that an import can leave nothing out."""

import re
import unittest
from collections import Counter
from typing import Any, Iterator

from setting_up import assets, colours, settings
from tests import schema

ALL = assets.read()
DATASETS = {one["uuid"]: one for one in assets.of_kind(ALL, "datasets")}
CHARTS = {one["uuid"]: one for one in assets.of_kind(ALL, "charts")}
DASHBOARDS = assets.of_kind(ALL, "dashboards")
COLUMNS = {pipeline: schema.columns(pipeline) for pipeline in settings.PIPELINES}
OWN = {pipeline: assets.of_pipeline(ALL, pipeline) for pipeline in settings.PIPELINES}
# What each pipeline promises to show.
CONTRACT = {
    "emissions": (
        "co2_clusters cluster_stats cluster_analysis top_emitters_by_cluster cluster_runs cluster_moves ingest_batches rejects",
        ["Cluster overview", "Countries", "Runs and data quality"],
    ),
    "energy": ("quarterly_energy_data monthly_energy daily_load_profile energy_by_meter ingest_batches", ["Energy"]),
    "sensors": ("sensor_windows sensor_clocks sensor_events ingest_batches freshness", ["Sensors"]),
    "iot": ("device_windows", ["IoT stream"]),
}


def names_in(params: dict[str, Any]) -> Iterator[str]:
    """Gives the columns that a chart names outside of SQL."""
    for key in ("x_axis", "entity", "series"):
        if params.get(key):
            yield params[key]
    for key in ("groupby", "all_columns"):
        named = params.get(key) or []
        yield from [named] if isinstance(named, str) else named
    for order in params.get("order_by_cols") or []:
        yield re.findall(r'"(\w+)"', order)[0]


def metrics_in(params: dict[str, Any]) -> Iterator[Any]:
    """Gives the metrics a chart uses: a name, or SQL."""
    for key in ("metric", "x", "y", "size"):
        if params.get(key):
            yield params[key]
    yield from params.get("metrics") or []


def legend_of(dashboard: dict[str, Any]) -> set[str]:
    """Gives the colours of a dashboard's legends."""
    parts = [one for one in dashboard["position"].values() if isinstance(one, dict) and one["type"] == "MARKDOWN"]
    return {colour for one in parts for colour in re.findall(r"color:(#\w{6})", one["meta"]["code"])}


class Assets(unittest.TestCase):
    """Each test names the file or chart that breaks its rule."""

    def test_identities_are_unique(self) -> None:
        counts = Counter(one["uuid"] for kind in assets.KINDS for one in assets.of_kind(ALL, kind))
        self.assertEqual([uuid for uuid, times in counts.items() if times > 1], [])

    def test_each_refers_to_what_is_there(self) -> None:
        databases = assets.uuids(ALL, "databases")
        self.assertEqual([one["table_name"] for one in DATASETS.values() if one["database_uuid"] not in databases], [])
        self.assertEqual([one["slice_name"] for one in CHARTS.values() if one["dataset_uuid"] not in DATASETS], [])
        shown = set().union(*(assets.charts_of(one) for one in DASHBOARDS))
        self.assertEqual(shown, set(CHARTS), "each chart is on a dashboard, and each one on a dashboard exists")

    def test_the_contract_of_datasets_and_dashboards(self) -> None:
        self.assertEqual(set(CONTRACT), set(settings.PIPELINES))
        for pipeline, (tables, titles) in CONTRACT.items():
            with self.subTest(pipeline):
                self.assertLessEqual({*tables.split()}, set(assets.relations(OWN[pipeline])))
                shown = assets.of_kind(OWN[pipeline], "dashboards")
                self.assertEqual(sorted(one["dashboard_title"] for one in shown), titles)

    def test_every_file_belongs_to_one_pipeline(self) -> None:
        """One that belongs to none is never imported; one that belongs to two fails where only one of them is shown."""
        counts = Counter(name for own in OWN.values() for name in own)
        self.assertEqual(counts, Counter(name for name in ALL if name != "metadata.yaml"))
        for own in OWN.values():
            for dashboard in assets.of_kind(own, "dashboards"):
                self.assertLessEqual(assets.charts_of(dashboard), assets.uuids(own, "charts"), dashboard["slug"])

    def test_datasets_name_columns_of_the_migrations(self) -> None:
        for pipeline, own in OWN.items():
            for dataset in assets.of_kind(own, "datasets"):
                with self.subTest(f"{pipeline}: {dataset['table_name']}"):
                    self.check_columns(dataset, COLUMNS[pipeline])

    def check_columns(self, dataset: dict[str, Any], known: dict[str, set[str]]) -> None:
        if dataset.get("sql"):
            # What is followed by a point is a column, as in `extract(epoch FROM t.at)`.
            read = set(re.findall(r"\b(?:FROM|JOIN) ([a-z]\w*)(?![\w.])", dataset["sql"]))
            named = set(re.findall(r"(?:WITH|\),) (\w+) AS \(", dataset["sql"]))
            self.assertLessEqual(read, {*known, *named, "latest", "now"})
        else:
            stored = {one["column_name"] for one in dataset["columns"] if "expression" not in one}
            self.assertLessEqual(stored, known.get(dataset["table_name"], set()))

    def test_charts_name_columns_and_metrics_of_their_dataset(self) -> None:
        for chart in CHARTS.values():
            dataset = DATASETS[chart["dataset_uuid"]]
            known = {one["column_name"] for one in dataset["columns"]}
            metrics = {one["metric_name"] for one in dataset["metrics"]}
            named = {one for one in metrics_in(chart["params"]) if isinstance(one, str)}
            with self.subTest(chart["slice_name"]):
                self.assertEqual(chart["params"]["viz_type"], chart["viz_type"])
                self.assertLessEqual(set(names_in(chart["params"])), known)
                self.assertLessEqual(named, metrics)

    def test_filters_name_columns_and_spare_charts_that_are_placed(self) -> None:
        for dashboard in DASHBOARDS:
            parts = [one for one in dashboard["position"].values() if isinstance(one, dict) and one["type"] == "CHART"]
            numbers = [one["meta"]["chartId"] for one in parts]
            self.assertEqual(len(numbers), len(set(numbers)), dashboard["slug"])
            for one in dashboard["metadata"]["native_filter_configuration"]:
                target = one["targets"][0]
                columns = {column["column_name"] for column in DATASETS[target["datasetUuid"]]["columns"]}
                with self.subTest(f"{dashboard['slug']}: {one['name']}"):
                    self.assertIn(target["column"]["name"], columns)
                    self.assertLessEqual(set(one["scope"]["excluded"]), set(numbers))

    def test_the_filters_never_reach_the_map(self) -> None:
        """Without the rows with the ends of its scale, the map's colours would mean something else."""
        dashboard = next(one for one in DASHBOARDS if one["slug"] == "countries")
        parts = [one for one in dashboard["position"].values() if isinstance(one, dict) and one["type"] == "CHART"]
        number = next(one["meta"]["chartId"] for one in parts if CHARTS[one["meta"]["uuid"]]["viz_type"] == "world_map")
        for one in dashboard["metadata"]["native_filter_configuration"]:
            self.assertIn(number, one["scope"]["excluded"], one["name"])
        self.assertFalse(dashboard["metadata"]["cross_filters_enabled"])

    def test_what_is_true_of_the_published_file_alone_is_said_of_it(self) -> None:
        """A made sample, or another house, is shown on the same dashboard."""
        dashboard = next(one for one in DASHBOARDS if one["slug"] == "energy")
        parts = [one for one in dashboard["position"].values() if isinstance(one, dict) and one["type"] == "MARKDOWN"]
        sentences = [one for part in parts for one in re.split(r"(?<=\w\w\.)\s", part["meta"]["code"])]
        particular = [one for one in sentences if re.search(r"\b20\d\d\b|Sceaux|UCI", one)]
        self.assertTrue(particular)
        self.assertEqual([one for one in particular if "published" not in one], [])

    def test_a_logarithmic_axis_says_where_it_begins(self) -> None:
        """Superset would begin at the least value's power of ten, and the bars of like values would be nothing."""
        unbounded = [
            one["slice_name"]
            for one in CHARTS.values()
            if one["params"].get("logAxis") and "bar" in one["viz_type"] and not (one["params"].get("y_axis_bounds") or [0])[0]
        ]
        self.assertEqual(unbounded, [])

    def test_rows_are_twelve_columns_wide(self) -> None:
        for dashboard in DASHBOARDS:
            position = dashboard["position"]
            for row in position["GRID_ID"]["children"]:
                widths = [position[child]["meta"]["width"] for child in position[row]["children"]]
                self.assertEqual(sum(widths), 12, f"{dashboard['slug']}: {row}")


class Colours(unittest.TestCase):
    """One colour a cluster, a meter, a status and a level, in every file that has colours."""

    def check_labels(self, pipeline: str, expected: dict[str, str]) -> None:
        for dashboard in assets.of_kind(OWN[pipeline], "dashboards"):
            for key in ("label_colors", "map_label_colors"):
                given = dashboard["metadata"][key]
                self.assertEqual({name: given.get(name) for name in expected}, expected, dashboard["slug"])

    def check_legends(self, pipeline: str, known: set[str]) -> None:
        for dashboard in assets.of_kind(OWN[pipeline], "dashboards"):
            used = legend_of(dashboard)
            self.assertTrue(used and used <= known, f"{dashboard['slug']}: {used}")

    def test_dashboards_give_each_cluster_its_colour(self) -> None:
        names = ("0 low and developing", "1 moderate", "2 high and industrialised")
        expected = dict(zip(names, colours.CLUSTERS))
        expected.update({f"cluster {number}": colour for number, colour in enumerate(colours.CLUSTERS)})
        expected["not clustered"] = colours.NOT_CLUSTERED
        self.check_labels("emissions", expected)

    def test_dashboards_give_each_meter_its_colour(self) -> None:
        self.check_labels("energy", colours.METERS)
        views = "".join(path.read_text(encoding="utf-8") for path in (schema.MIGRATIONS / "energy").glob("*.sql"))
        self.assertEqual([name for name in colours.METERS if f"'{name}'" not in views], [], "no view names it so")

    def test_dashboards_give_each_status_and_each_level_its_colour(self) -> None:
        known = {**colours.STATUSES, **colours.LEVELS}
        self.check_labels("sensors", known)
        tables = "".join(path.read_text(encoding="utf-8") for path in (schema.MIGRATIONS / "sensors").glob("*.sql"))
        self.assertEqual([name for name in known if f"'{name}'" not in tables], [], "no table or view names it so")
        for chart in assets.of_kind({**OWN["sensors"], **OWN["iot"]}, "charts"):
            for rule in chart["params"].get("conditional_formatting", []):
                self.assertEqual(rule["colorScheme"], known[rule["targetValue"]], chart["slice_name"])

    def test_the_legends_use_those_colours(self) -> None:
        self.check_legends("emissions", {*colours.CLUSTERS, colours.NOT_CLUSTERED})
        self.check_legends("energy", set(colours.METERS.values()))
        self.check_legends("sensors", {*colours.STATUSES.values(), *colours.LEVELS.values()})
        self.check_legends("iot", {*colours.STATUSES.values()})

    def test_the_map_has_a_colour_for_every_number_between_its_ends(self) -> None:
        dataset = next(one for one in DATASETS.values() if one["table_name"] == "map_shown")
        low, high = (int(number) for number in re.findall(r"\('\w{3}', (-?\d+),", dataset["sql"]))
        self.assertEqual((low, len(colours.map_scale()["colors"])), (-1, high - low + 1))


if __name__ == "__main__":
    unittest.main()
