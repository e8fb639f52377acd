"""Takes a full-length picture of each dashboard with headless Chromium, once everything on it has loaded.

    SUPERSET_ADMIN_PASSWORD=… pictures.py URL FOLDER [SLUG…]

Fails, and says where, when a page shows an error, an empty chart, or is not done in time.
Needs playwright from PyPI (tools/requirements.txt) and a Chromium: CHROMIUM names it, else it is searched for on PATH.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from client import Superset, logged_in

WIDTH = 1600
# The top of this dashboard is the picture of the README.
FRONT, FRONT_HEIGHT = "countries", 890
# Charts outside the window are not drawn, so the window is as high as the longest dashboard could be.
HEIGHT = 4200
LOADED_WITHIN_MS = 120_000
# Bars and lines grow to their size for a second after their data have come.
ANIMATION_MS = 2500

# What Superset itself shows while it loads, and where something went wrong.
LOADING = ".loading, [data-test='loading-indicator'], .ant-spin-spinning"
ERROR = ".ant-alert-error"
BAD_TEXTS = ("No results were returned", "No data", "Unexpected error", "Data error", "error occurred", "See more")
CHART = ".dashboard-chart"

UNFINISHED = f"""() => {{
    const charts = document.querySelectorAll("{CHART}");
    if (!charts.length) return "no chart yet";
    if (document.querySelector("{LOADING}")) return "loading";
    if (document.querySelector("{ERROR}")) return "";
    const empty = [...charts].filter(c => !c.querySelector("canvas, svg.datamap, table, .header-line"));
    return empty.length ? empty.length + " charts are not drawn" : "";
}}"""


# Where the last row ends, and a margin.
BOTTOM = """() => {
    const rows = [...document.querySelectorAll(".grid-row")].map(row => row.getBoundingClientRect().bottom);
    return Math.ceil(Math.max(...rows)) + 24;
}"""


def chromium() -> str:
    """Gives the browser's path."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return found or sys.exit("no Chromium was found: install it with `sudo apt-get install chromium`, or name it in CHROMIUM")


def slugs(superset: Superset) -> list[str]:
    """Gives the dashboards that exist: those of the pipelines that this installation shows."""
    return sorted(one["slug"] for one in superset.get("/api/v1/dashboard/?q=(page_size:100)")["result"] if one["slug"])


def log_in(context: Any, url: str, superset: Superset) -> None:
    """Gives the browser the cookies of a session that the API has opened."""
    for cookie in superset.cookies:
        context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": url}])


def faults(page: Any) -> list[str]:
    """Gives what a person would call broken, with the chart it is on."""
    found = []
    for chart in page.locator(CHART).all():
        text = chart.inner_text()
        marks = [bad for bad in BAD_TEXTS if bad in text]
        if chart.locator(f"{ERROR}, .ant-empty").count():
            marks.append("an error box")
        found += [f"{text.splitlines()[0]}: {mark}" for mark in marks]
    return found


def take(page: Any, url: str, slug: str, folder: Path) -> list[str]:
    """Opens one dashboard, waits for all of it, takes the picture, and gives what is wrong on it."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.goto(f"{url}/superset/dashboard/{slug}/?standalone=1", wait_until="domcontentloaded")
    wrong = []
    try:
        page.wait_for_function(f"() => ({UNFINISHED})() === ''", timeout=LOADED_WITHIN_MS)
    except Exception:  # playwright's own errors cannot be named where it is not installed
        wrong = [f"not done after {LOADED_WITHIN_MS // 1000} s: {page.evaluate(UNFINISHED)}"]
    page.set_viewport_size({"width": WIDTH, "height": page.evaluate(BOTTOM)})
    page.wait_for_timeout(ANIMATION_MS)
    wrong += faults(page)
    page.screenshot(path=str(folder / f"{slug}.png"))
    print(folder / f"{slug}.png")
    if slug == FRONT:
        page.screenshot(path=str(folder / "world.png"), clip={"x": 0, "y": 0, "width": WIDTH, "height": FRONT_HEIGHT})
        print(folder / "world.png")
    return [f"{slug}: {fault}" for fault in wrong]


def main() -> None:
    """Takes all of them, or those that are named."""
    if len(sys.argv) < 3:
        sys.exit("usage: pictures.py URL FOLDER [SLUG…]")
    from playwright.sync_api import sync_playwright

    url, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    superset = logged_in(url)
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, as in a container.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(locale="en-GB", timezone_id="UTC")
        log_in(context, url, superset)
        wrong = [fault for slug in sys.argv[3:] or slugs(superset) for fault in take(context.new_page(), url, slug, folder)]
        browser.close()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
