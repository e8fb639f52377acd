"""What the configurations of the peers without a Python program promise; needs no packages."""

import re
import unittest
from pathlib import Path

PEERS = Path(__file__).parent.parent


def read(name: str) -> str:
    """Returns a file of peers/."""
    return (PEERS / name).read_text(encoding="utf-8")


def columns(name: str, table: str) -> list:
    """Returns the names of the columns of a table, as a file of SQL creates it."""
    body = re.search(rf"CREATE TABLE {table} \((.*?)\n\)", read(name), re.DOTALL).group(1)
    return [words[0].strip("`") for words in map(str.split, body.strip().splitlines()) if words[0] != "PRIMARY"]


class Promises(unittest.TestCase):
    """They are in files that no compiler reads."""

    def test_flink_checkpoints_exactly_once(self) -> None:
        settings = dict(line.split(": ") for line in read("flink/config.yaml").splitlines() if not line.startswith("#"))
        self.assertEqual(settings["execution.checkpointing.mode"], "EXACTLY_ONCE")
        self.assertEqual(settings["execution.checkpointing.interval"], "5s")
        self.assertEqual(settings["parallelism.default"], "2")

    def test_faucet_stores_rows_and_token_in_one_transaction(self) -> None:
        self.assertIn("\ndelivery: exactly_once\n", read("faucet/rows.yaml"))

    def test_flink_writes_the_columns_that_the_table_has(self) -> None:
        self.assertEqual(
            columns("flink/averages.sql", "country_aggregates"), columns("flink/tables.sql", "country_aggregates")
        )

    def test_both_read_the_same_fields(self) -> None:
        self.assertEqual(columns("flink/averages.sql", "emissions")[:7], columns("faucet/tables.sql", "facts"))

    def test_every_jar_of_flink_has_a_digest(self) -> None:
        for line in read("flink/SHA256SUMS").splitlines():
            self.assertRegex(line, r"^[0-9a-f]{64}  [\w.-]+\.jar$")
        self.assertIn("--hash=sha256:", read("flink/requirements.txt"))


if __name__ == "__main__":
    unittest.main()
