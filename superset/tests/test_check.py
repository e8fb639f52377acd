"""How check.py turns a chart into the query that its browser would send."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import check  # noqa: E402  (the path must be set first)
from setting_up import assets  # noqa: E402


class Queries(unittest.TestCase):
    """No column or metric of a chart may be forgotten."""

    def test_each_kind_of_chart(self) -> None:
        for params, columns, metrics in (
            ({"metric": "m"}, [], ["m"]),
            ({"query_mode": "raw", "all_columns": ["a", "b"]}, ["a", "b"], []),
            ({"query_mode": "aggregate", "groupby": ["g"], "all_columns": ["a"], "metrics": ["m"]}, ["g"], ["m"]),
            ({"x_axis": "x", "groupby": ["g"], "metrics": ["m"]}, ["x", "g"], ["m"]),
            ({"x_axis": "x", "groupby": "rows", "metric": "m"}, ["x", "rows"], ["m"]),
            ({"entity": "e", "series": "s", "x": "1", "y": "2", "size": "3"}, ["e", "s"], ["1", "2", "3"]),
        ):
            self.assertEqual((check.columns(params), check.metrics(params)), (columns, metrics))

    def test_conditions_are_joined(self) -> None:
        params = {"adhoc_filters": [{"sqlExpression": "a > 0"}, {"sqlExpression": "b IS NOT NULL"}]}
        self.assertEqual(check.extras(params), {"where": "(a > 0) AND (b IS NOT NULL)"})

    def test_every_chart_of_ours_asks_for_something(self) -> None:
        for chart in assets.of_kind(assets.read(), "charts"):
            requested = check.columns(chart["params"]) + check.metrics(chart["params"])
            self.assertTrue(requested, chart["slice_name"])


if __name__ == "__main__":
    unittest.main()
