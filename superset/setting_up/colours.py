"""One colour for each cluster and for each meter, wherever it is drawn."""

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


def categorical() -> dict[str, Any]:
    """Gives the scheme for charts with clusters as series."""
    colors = CLUSTERS + [NOT_CLUSTERED]
    return {"id": "tributary", "label": "Tributary", "description": "", "isDefault": False, "colors": colors}


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
