"""What bootstrap.py decides without Superset: settings, and what it writes into the assets."""

import os
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from setting_up import assets, digest, faults, settings


class Settings(unittest.TestCase):
    """The environment is read once, and a fault names the variable."""

    def test_urls(self) -> None:
        for given, expected in {
            "postgres://u:p@h:5432": "postgresql+psycopg2://u:p@h:5432/co2",
            "postgresql://u:p@h/other": "postgresql+psycopg2://u:p@h/co2",
            "postgres://u:p@h/?sslmode=require": "postgresql+psycopg2://u:p@h/co2?sslmode=require",
            "postgresql+psycopg2://u@h?sslmode=verify-full&sslrootcert=/c": "postgresql+psycopg2://u@h/co2?sslmode=verify-full&sslrootcert=/c",
        }.items():
            self.assertEqual(settings.sqlalchemy_url(given, "co2"), expected)
        self.assertEqual(settings.sqlalchemy_url("postgres://u@h/own"), "postgresql+psycopg2://u@h/own")
        self.assertEqual(settings.psql_url("postgresql+psycopg2://u@h/own"), "postgresql://u@h/own")

    def test_a_url_of_another_kind_is_refused_without_being_shown(self) -> None:
        with self.assertRaises(faults.Fault) as caught:
            settings.sqlalchemy_url("mysql://u:secret@h/d")
        self.assertEqual(caught.exception.code, faults.USAGE)
        self.assertNotIn("secret", str(caught.exception))

    def test_durations(self) -> None:
        for given, expected in {"90s": 90, "10m": 600, "1m30s": 90, "500ms": 0.5, "1h": 3600}.items():
            self.assertEqual(settings.seconds(given), expected)
        for given in ("", "10", "m", "10 minutes", "5x"):
            with self.assertRaises(faults.Fault, msg=given):
                settings.seconds(given)

    def test_the_environment(self) -> None:
        given = {
            "METADATA_URL": "postgres://s:1@h/superset",
            "READER_URL": "postgres://r:2@h",
            "SUPERSET_ADMIN_PASSWORD": "3",
            "EMISSIONS_SAMPLE": "1",
            "EMISSIONS_DATABASE": "co2_emissions_sample",
        }
        with mock.patch.dict(os.environ, given, clear=True):
            read = settings.of_bootstrap()
        url = "postgresql+psycopg2://r:2@h/co2_emissions_sample"
        self.assertEqual((read.sources, read.wait_s), ([settings.Source("emissions", url, True)], 60.0))
        for name in ("METADATA_URL", "READER_URL", "SUPERSET_ADMIN_PASSWORD"):
            with mock.patch.dict(os.environ, {**given, name: ""}, clear=True):
                with self.assertRaisesRegex(faults.Fault, name):
                    settings.of_bootstrap()

    def test_a_secret_with_a_control_character_is_refused_without_being_shown(self) -> None:
        for unseen in ("\n", "\r\n", "\t", "\x7f", "\u2028", "\ufeff", "%0A"):
            with mock.patch.dict(os.environ, {"READER_URL": f"postgres://r:secret{unseen}@h"}):
                with self.assertRaises(faults.Fault, msg=repr(unseen)) as caught:
                    settings.required("READER_URL")
            self.assertEqual(caught.exception.code, faults.USAGE)
            self.assertRegex(str(caught.exception), "^READER_URL holds a control character")
            self.assertNotIn("secret\n", str(caught.exception))

    def test_switches(self) -> None:
        for given, expected in {"": False, "0": False, "false": False, "no": False, "1": True, "true": True}.items():
            with mock.patch.dict(os.environ, {"ENERGY_SAMPLE": given}):
                self.assertEqual(settings.truth("ENERGY_SAMPLE"), expected, given)

    def test_the_pipelines_that_are_shown(self) -> None:
        """Those with a named database; emissions where none is named."""
        for given, expected in (
            ({}, {"emissions": "co2_emissions"}),
            ({"EMISSIONS_DATABASE": "", "ENERGY_DATABASE": ""}, {"emissions": "co2_emissions"}),
            ({"EMISSIONS_DATABASE": "other"}, {"emissions": "other"}),
            ({"ENERGY_DATABASE": "energy_db"}, {"energy": "energy_db"}),
            ({"ENERGY_DATABASE": "e", "EMISSIONS_DATABASE": "c"}, {"emissions": "c", "energy": "e"}),
            ({"SENSORS_DATABASE": "s", "ENERGY_DATABASE": "e"}, {"energy": "e", "sensors": "s"}),
            ({"SENSORS_DATABASE": "s", "IOT_DATABASE": "i"}, {"iot": "i", "sensors": "s"}),
        ):
            with mock.patch.dict(os.environ, given, clear=True):
                self.assertEqual(settings.databases(), expected)


def source(pipeline: str, sample: bool = False) -> settings.Source:
    """Where a pipeline's dashboards read, in these tests."""
    return settings.Source(pipeline, f"postgresql+psycopg2://r:2@h/{pipeline}", sample)


class Digest(unittest.TestCase):
    """A change of anything that is set up gives another name, and nothing else does."""

    def test_every_file_and_every_setting_counts(self) -> None:
        shown = [("emissions", "co2_emissions", False)]
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory) / "superset"
            shutil.copytree(digest.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
            name = digest.of(shown, folder)
            self.assertEqual(name, digest.of(list(shown)))
            self.assertNotEqual(name, digest.of([("emissions", "co2_emissions", True)], folder))
            (folder / "tests" / "more.py").write_text("")
            self.assertEqual(name, digest.of(shown, folder))
            for changed in ("assets/dashboards/countries.yaml", "setting_up/metadata.py", "superset_config.py", "requirements.txt"):
                before = (folder / changed).read_bytes()
                (folder / changed).write_bytes(before + b"# changed\n")
                self.assertNotEqual(name, digest.of(shown, folder), changed)
                (folder / changed).write_bytes(before)
            (folder / "assets" / "dashboards" / "countries.yaml").rename(folder / "assets" / "dashboards" / "moved.yaml")
            self.assertNotEqual(name, digest.of(shown, folder))


class Rendering(unittest.TestCase):
    """The files stay as they are; the copy gets what one installation knows."""

    def test_each_pipeline_gets_its_own_address_and_the_others_are_left_out(self) -> None:
        files = assets.read()
        for shown in (["emissions"], ["energy"], ["sensors"], ["iot"], ["emissions", "energy"], ["emissions", "energy", "sensors", "iot"]):
            rendered = assets.render(files, [source(pipeline) for pipeline in shown])
            addresses = [one["sqlalchemy_uri"] for one in assets.of_kind(rendered, "databases")]
            self.assertEqual(addresses, [f"postgresql+psycopg2://r:2@h/{pipeline}" for pipeline in shown])
            expected = {"metadata.yaml"}.union(*(assets.of_pipeline(files, pipeline) for pipeline in shown))
            self.assertEqual(set(rendered), expected)

    def test_only_a_made_sample_is_called_one(self) -> None:
        rendered = assets.render(assets.read(), [source("emissions", sample=True), source("energy")])
        titles = {one["dashboard_title"] for one in assets.of_kind(rendered, "dashboards")}
        self.assertIn("Energy", titles)
        self.assertIn("Countries (made sample)", titles)

    def test_the_address_goes_into_the_copy(self) -> None:
        files = assets.read()
        rendered = assets.render(files, [source(pipeline) for pipeline in settings.PIPELINES])
        self.assertNotIn("r:2@h", str(files))
        self.assertCountEqual(assets.of_kind(rendered, "dashboards"), assets.of_kind(files, "dashboards"))

    def test_a_made_sample_is_called_one_on_every_dashboard(self) -> None:
        rendered = assets.render(assets.read(), [source(pipeline, sample=True) for pipeline in settings.PIPELINES])
        for dashboard in assets.of_kind(rendered, "dashboards"):
            position = dashboard["position"]
            self.assertTrue(dashboard["dashboard_title"].endswith("(made sample)"))
            self.assertEqual(position["HEADER_ID"]["meta"]["text"], dashboard["dashboard_title"])
            first = position[position["GRID_ID"]["children"][0]]["children"][0]
            self.assertIn("Made sample", position[first]["meta"]["code"])


if __name__ == "__main__":
    unittest.main()
