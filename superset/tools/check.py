"""Runs every chart's query through Superset's API, as the admin; and checks that a stranger gets nothing.

    SUPERSET_ADMIN_PASSWORD=… check.py URL

Prints one line a chart with its rows. Fails when a query fails or gives no row, or when a stranger gets anything.
"""

import json
import sys
from typing import Any

from client import Refused, Superset, logged_in

ALL = "q=(page_size:100)"
# What a stranger must not see: lists, one thing, a query, and the page for any query.
CLOSED = ("/api/v1/dashboard/", "/api/v1/chart/", "/api/v1/dataset/", "/api/v1/database/", "/api/v1/log/", "/api/v1/sqllab/")


def columns(params: dict[str, Any]) -> list[str]:
    """Gives the columns that a chart reads, under any of their names."""
    names = [params.get("x_axis"), params.get("entity"), params.get("series")]
    groups = params.get("groupby") or []
    # A heatmap has one, the rows of its grid, and it is no list.
    names += [groups] if isinstance(groups, str) else groups
    if params.get("query_mode") == "raw":
        names += params.get("all_columns") or []
    return [name for name in names if name]


def metrics(params: dict[str, Any]) -> list[Any]:
    """Gives the metrics that a chart reads."""
    named = [params.get(name) for name in ("metric", "x", "y", "size")]
    return [metric for metric in named + (params.get("metrics") or []) if metric]


def extras(params: dict[str, Any]) -> dict[str, str]:
    """Gives a chart's own conditions."""
    conditions = [f"({one['sqlExpression']})" for one in params.get("adhoc_filters") or []]
    return {"where": " AND ".join(conditions)}


def rows_of(superset: Superset, params: dict[str, Any]) -> int:
    """Gives the number of rows that a chart's query returns."""
    identity, kind = params["datasource"].split("__")
    query = {
        "columns": columns(params),
        # With no metrics at all the rows come as they are; with an empty list they would be grouped.
        "metrics": metrics(params) or None,
        "orderby": [json.loads(order) for order in params.get("order_by_cols") or []],
        "extras": extras(params),
        "row_limit": params.get("row_limit") or 1000,
    }
    body = {"datasource": {"id": int(identity), "type": kind}, "force": True, "queries": [query], "result_type": "full"}
    response = superset.post("/api/v1/chart/data", body)["result"][0]
    if response.get("error"):
        raise Refused(200, response["error"])
    return int(response["rowcount"])


def map_rows(superset: Superset, params: dict[str, Any]) -> int:
    """Does the same for the world map, which is older than that API and has another endpoint."""
    response = superset.post_form("/superset/explore_json/?force=true", {"form_data": json.dumps(params)})
    return sum(1 for row in response["data"] if row["country"] != "XXX")


def check_chart(superset: Superset, chart: dict[str, Any]) -> str:
    """Gives what is wrong with a chart, or nothing; prints its line."""
    params = json.loads(superset.get(f"/api/v1/chart/{chart['id']}")["result"]["params"])
    params["datasource"] = f"{chart['datasource_id']}__{chart['datasource_type']}"
    count = map_rows if chart["viz_type"] == "world_map" else rows_of
    try:
        rows = count(superset, params)
    except Refused as refused:
        return f"{chart['slice_name']}: {refused}"
    print(f"{rows:>7,} rows  {chart['slice_name']}")
    return "" if rows else f"{chart['slice_name']}: no row"


def check_stranger(url: str) -> list[str]:
    """Gives what a visitor gets who is not logged in."""
    stranger = Superset(url)
    found = []
    for path in CLOSED:
        status, text = stranger.send(path)
        seen = status == 200 and (json.loads(text).get("count") != 0 or json.loads(text).get("result"))
        if seen:
            found.append(f"a stranger gets {path}")
    for path in ("/superset/welcome/", "/superset/dashboard/countries/", "/sqllab/"):
        status, _ = stranger.send(path)
        if status == 200:
            found.append(f"a stranger gets {path}")
    return found


def main() -> None:
    """Checks everything, then says what is wrong."""
    if len(sys.argv) != 2:
        sys.exit("usage: check.py URL")
    superset = logged_in(sys.argv[1])
    charts = superset.get(f"/api/v1/chart/?{ALL}")["result"]
    dashboards = superset.get(f"/api/v1/dashboard/?{ALL}")["count"]
    wrong = [fault for fault in (check_chart(superset, chart) for chart in charts) if fault]
    wrong += check_stranger(sys.argv[1])
    print(f"{len(charts)} charts on {dashboards} dashboards; a stranger was refused")
    if wrong or not charts or not dashboards:
        sys.exit("\n".join(wrong) or "there is no chart, or no dashboard")


if __name__ == "__main__":
    main()
