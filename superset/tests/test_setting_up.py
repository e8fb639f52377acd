"""What bootstrap.py decides by itself: settings, and what it writes into the assets."""

import os
import unittest
from unittest import mock

from setting_up import assets, faults, settings


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
            "EMISSIONS_URL": "postgres://r:2@h",
            "SUPERSET_ADMIN_PASSWORD": "3",
            "SAMPLE": "1",
            "EMISSIONS_DATABASE": "co2_emissions_sample",
        }
        with mock.patch.dict(os.environ, given, clear=True):
            read = settings.of_bootstrap()
        self.assertEqual(read.emissions_url, "postgresql+psycopg2://r:2@h/co2_emissions_sample")
        self.assertEqual((read.sample, read.wait_s), (True, 60.0))
        for name in ("METADATA_URL", "EMISSIONS_URL", "SUPERSET_ADMIN_PASSWORD"):
            with mock.patch.dict(os.environ, {**given, name: ""}, clear=True):
                with self.assertRaisesRegex(faults.Fault, name):
                    settings.of_bootstrap()

    def test_switches(self) -> None:
        for given, expected in {"": False, "0": False, "false": False, "no": False, "1": True, "true": True}.items():
            with mock.patch.dict(os.environ, {"SAMPLE": given}):
                self.assertEqual(settings.truth("SAMPLE"), expected, given)


class Rendering(unittest.TestCase):
    """The files stay as they are; the copy gets what one installation knows."""

    def test_the_address_goes_into_the_copy(self) -> None:
        files = assets.read()
        rendered = assets.render(files, "postgresql+psycopg2://r:2@h/co2", sample=False)
        self.assertEqual([one["sqlalchemy_uri"] for one in assets.of_kind(rendered, "databases")], ["postgresql+psycopg2://r:2@h/co2"])
        self.assertNotIn("r:2@h", str(files))
        self.assertEqual(assets.of_kind(rendered, "dashboards"), assets.of_kind(files, "dashboards"))

    def test_a_made_sample_is_called_one_on_every_dashboard(self) -> None:
        rendered = assets.render(assets.read(), "postgresql+psycopg2://r@h/co2", sample=True)
        for dashboard in assets.of_kind(rendered, "dashboards"):
            position = dashboard["position"]
            self.assertTrue(dashboard["dashboard_title"].endswith("(made sample)"))
            self.assertEqual(position["HEADER_ID"]["meta"]["text"], dashboard["dashboard_title"])
            first = position[position["GRID_ID"]["children"][0]]["children"][0]
            self.assertIn("Made sample", position[first]["meta"]["code"])


if __name__ == "__main__":
    unittest.main()
