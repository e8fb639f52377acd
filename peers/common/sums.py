"""Sums of a country's figures: what both peers compute. No input or output here."""

from typing import Any, Iterable, List, Optional, Tuple

# A country's figures of one year: year, name, population, gdp, co2, co2_per_capita; a missing one is None. A plain
# tuple, since one with names takes longer to make.
Observation = Tuple[int, str, Optional[float], Optional[float], Optional[float], Optional[float]]

# A country's name in its latest year; for each measure the sum of its values and the number of years that have one;
# then all years, the first and the last of them. A plain list, since it is the fastest in Python.
Sums = List[Any]
COLUMNS = (
    "country",
    "population_sum", "population_years",
    "gdp_sum", "gdp_years",
    "co2_sum", "co2_years",
    "co2_per_capita_sum", "co2_per_capita_years",
    "data_points", "first_year", "last_year",
)  # fmt: skip

# All years are between them.
BEFORE, AFTER = 0, 10_000


def empty() -> Sums:
    """Returns the sums of nothing."""
    return ["", 0.0, 0, 0.0, 0, 0.0, 0, 0.0, 0, 0, AFTER, BEFORE]


def add(sums: Sums, observations: Iterable[Observation]) -> None:
    """Adds a country's observations to its sums; one that comes twice counts twice."""
    # Written out, as a loop over the measures would take a third longer.
    for year, country, population, gdp, co2, co2_per_capita in observations:
        if population is not None:
            sums[1] += population
            sums[2] += 1
        if gdp is not None:
            sums[3] += gdp
            sums[4] += 1
        if co2 is not None:
            sums[5] += co2
            sums[6] += 1
        if co2_per_capita is not None:
            sums[7] += co2_per_capita
            sums[8] += 1
        sums[9] += 1
        if year < sums[10]:
            sums[10] = year
        if year >= sums[11]:
            sums[0], sums[11] = country, year


class Years:
    """A country's years, each with its latest values, and their sums; an observation that comes twice changes nothing."""

    def __init__(self, known: Iterable[Observation] = ()) -> None:
        self._by_year = {observation[0]: observation for observation in known}
        self._sums: Optional[Sums] = None if self._by_year else empty()

    def take(self, observations: Iterable[Observation]) -> None:
        """Takes observations in; the later of two of one year replaces the other."""
        new = []
        for observation in observations:
            known = self._by_year.get(observation[0])
            if known == observation:
                continue
            if known is None:
                new.append(observation)
            else:
                # A correction is rare, and subtraction of floats is not exact: all is added up again.
                self._sums = None
            self._by_year[observation[0]] = observation
        if self._sums is not None:
            add(self._sums, new)

    def sums(self) -> Sums:
        """Returns a copy of the sums."""
        if self._sums is None:
            self._sums = empty()
            add(self._sums, self._by_year.values())
        return list(self._sums)

    def all(self) -> Tuple[Observation, ...]:
        """Returns all observations, for a snapshot."""
        return tuple(self._by_year.values())
