"""The sums, and the effect of a repetition."""

import unittest

from common.sums import COLUMNS, Years, add, empty

FIRST = (1990, "Swaziland", 1.0, None, 2.0, None)
LATER = (2018, "Eswatini", 3.0, 10.0, None, None)


def shown(sums: list) -> str:
    """Returns sums as words."""
    return " ".join(map(str, sums))


class SumsOfYears(unittest.TestCase):
    """Both kinds of sums, and their differences."""

    def test_a_missing_value_is_no_zero(self) -> None:
        sums = empty()
        add(sums, [FIRST, LATER])
        self.assertEqual(shown(sums), "Eswatini 4.0 2 10.0 1 2.0 1 0.0 0 2 1990 2018")
        self.assertEqual(len(sums), len(COLUMNS))

    def test_the_name_is_that_of_the_latest_year(self) -> None:
        sums = empty()
        add(sums, [LATER, FIRST])
        self.assertEqual(sums[0], "Eswatini")

    def test_plain_sums_count_a_repetition_twice(self) -> None:
        sums = empty()
        add(sums, [FIRST, FIRST])
        self.assertEqual(shown(sums), "Swaziland 2.0 2 0.0 0 4.0 2 0.0 0 2 1990 1990")

    def test_years_do_not(self) -> None:
        years = Years()
        years.take([FIRST, LATER])
        once = years.sums()
        years.take([LATER, FIRST, FIRST])
        self.assertEqual(years.sums(), once)

    def test_a_correction_replaces_its_year(self) -> None:
        years = Years()
        years.take([FIRST])
        years.take([LATER, (1990, "Swaziland", 1.5, None, None, None)])
        self.assertEqual(shown(years.sums()), "Eswatini 4.5 2 10.0 1 0.0 0 0.0 0 2 1990 2018")

    def test_what_a_snapshot_holds_is_all(self) -> None:
        years = Years()
        years.take([FIRST, LATER])
        again = Years(years.all())
        self.assertEqual(again.sums(), years.sums())
        again.take([FIRST])
        self.assertEqual(again.sums(), years.sums())


if __name__ == "__main__":
    unittest.main()
