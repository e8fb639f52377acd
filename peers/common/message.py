"""The messages of the emissions pipeline, as far as the peers read them."""

from collections import defaultdict
from operator import itemgetter
from typing import Any, Callable, Dict, Iterable, List, Tuple

import orjson

from .sums import Observation

# The prefix of the codes of aggregates, such as the world.
AGGREGATE = "OWID_"

observation: Callable[[Dict[str, Any]], Observation] = itemgetter(
    "year", "country", "population", "gdp", "co2", "co2_per_capita"
)


def by_country(values: Iterable[bytes]) -> Tuple[Dict[str, List[Observation]], int]:
    """Decodes messages into each country's observations; aggregates are left out, what is not JSON is counted."""
    countries: Dict[str, List[Observation]] = defaultdict(list)
    unusable = 0
    for value in values:
        try:
            record = orjson.loads(value)
        except orjson.JSONDecodeError:
            unusable += 1
            continue
        code = record["iso_code"]
        if code and not code.startswith(AGGREGATE):
            countries[code].append(observation(record))
    return countries, unusable
