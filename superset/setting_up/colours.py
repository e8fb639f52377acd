"""One colour for each cluster, each meter, and each status of a window, wherever it is drawn."""

from typing import Any

NOT_CLUSTERED = "#C3CAD4"
# Blue, amber and red differ also for people who see no red or green; the others are for runs of more clusters.
CLUSTERS = ["#3A7CA5", "#F2A541", "#B23A48", "#5B8E7D", "#7D5BA6", "#8C6A4F", "#4F5D75", "#D17A9B", "#9BA65B"]

# The meters of the energy pipeline, as its views name them; grey is what no meter counts.
METERS = {
    "1 kitchen": "#F2A541",
    "2 laundry room": "#5B8E7D",
    "3 water heater and air conditioning": "#B23A48",
    "rest, without a meter": "#C3CAD4",
}
# From little power to much.
POWER = ["#FDF6E7", "#FAE3B4", "#F6C877", "#F2A541", "#D96C3F", "#B23A48", "#7A1F3D"]

# What the pipelines sensors and iot say of a window, and sensors of an event, as its tables and views name it.
STATUSES = {"final": "#3A7CA5", "provisional": "#9DBFD3", "silent": "#C3CAD4"}
LEVELS = {"ERROR": "#B23A48", "WARNING": "#F2A541"}
# Twenty sensors, before a colour is used again: each of ten, and paler.
SENSORS = [
    *("#3A7CA5", "#F2A541", "#B23A48", "#5B8E7D", "#7D5BA6", "#8C6A4F", "#4F5D75", "#D17A9B", "#9BA65B", "#2F9C95"),
    *("#8DB8D3", "#F8CF94", "#DC8E97", "#A5C7BB", "#B9A3D1", "#C4AA95", "#98A3B8", "#EBB9CB", "#C9D09E", "#8ACFCA"),
]
# From no reading to all that are expected.
COVERAGE = ["#B23A48", "#D96C3F", "#F2A541", "#F6D9A8", "#C9DCE8", "#7FAFCB", "#3A7CA5"]


def categorical() -> dict[str, Any]:
    """Gives the scheme for charts with clusters as series."""
    colors = CLUSTERS + [NOT_CLUSTERED]
    return {"id": "tributary", "label": "Tributary", "description": "", "isDefault": False, "colors": colors}


def of_sensors() -> dict[str, Any]:
    """Gives the scheme for charts with sensors as series."""
    return {"id": "tributary_sensors", "label": "Tributary sensors", "description": "", "isDefault": False, "colors": SENSORS}


def map_scale() -> dict[str, Any]:
    """Gives the scheme for the world map, which knows only numbers: −1 is not clustered, then a colour a cluster.

    The map spreads the colours evenly from the least value to the greatest. The map's dataset has both ends, −1 and
    8, whatever the run, so each whole number meets exactly one colour.
    """
    colors = [NOT_CLUSTERED] + CLUSTERS
    return {
        "id": "tributary_map",
        "label": "Tributary map",
        "description": "",
        "isDiverging": False,
        "isDefault": False,
        "colors": colors,
    }


def power_scale() -> dict[str, Any]:
    """Gives the scheme for the heatmap of the energy pipeline."""
    return {
        "id": "tributary_power",
        "label": "Tributary power",
        "description": "",
        "isDiverging": False,
        "isDefault": False,
        "colors": POWER,
    }


def coverage_scale() -> dict[str, Any]:
    """Gives the scheme for the heatmap of the sensors pipeline."""
    return {
        "id": "tributary_coverage",
        "label": "Tributary coverage",
        "description": "",
        "isDiverging": False,
        "isDefault": False,
        "colors": COVERAGE,
    }
