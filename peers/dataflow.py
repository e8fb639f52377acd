"""A Bytewax dataflow: KafkaSource, decode, state by country, PostgreSQL.

The state of a country is its years, each as last read, so a record that comes twice changes nothing, and the row that
is written replaces the one before. It ends at the end of the partitions, and prints one line of JSON.
"""

import gc
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from bytewax import operators
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from common import table
from common.message import by_country
from common.meter import Meter
from common.settings import Parser, seconds
from common.sums import Observation, Sums, Years

# By default the client pauses for a second when its queue is full, and then the dataflow waits for the client.
FETCHING = {"fetch.queue.backoff.ms": "5"}
# Snapshots and offsets are stored this often; without recovery, copying the state for one would be wasted.
EPOCH = timedelta(seconds=10)
NO_EPOCH = timedelta(days=1)
# Of one worker, snapshots need one database.
SNAPSHOT_PARTITIONS = 1

Known = Tuple[Observation, ...]


class Source(KafkaSource):
    """Bytewax's own source, which also reports when the first partition is about to be read."""

    def __init__(self, options: Namespace, meter: Meter) -> None:
        brokers = options.brokers.split(",")
        super().__init__(brokers, [options.topic], tail=False, add_config=FETCHING, batch_size=options.batch)
        self.meter = meter

    def build_part(self, step_id: str, for_part: str, resume_state: Optional[int]) -> Any:
        self.meter.requests()
        return super().build_part(step_id, for_part, resume_state)


def decode(messages: List[KafkaSourceMessage], meter: Meter) -> Iterable[Tuple[str, List[Observation]]]:
    """Decodes a poll, and passes a country's observations on together: a step costs as much for one as for many."""
    countries, unusable = by_country([message.value for message in messages])
    meter.records += len(messages)
    meter.unusable += unusable
    return countries.items()


class Country(StatefulBatchLogic):
    """A country's years, and when its row is due."""

    def __init__(self, known: Optional[Known], save_every: timedelta) -> None:
        self.years = Years(known or ())
        self.save_every = save_every
        self.due: Optional[datetime] = None

    def on_batch(self, values: List[List[Observation]]) -> Tuple[Iterable[Sums], bool]:
        for observations in values:
            self.years.take(observations)
        if not self.save_every:
            return self.row()
        if self.due is None:
            self.due = next_save(self.save_every)
        return (), self.RETAIN

    def on_notify(self) -> Tuple[Iterable[Sums], bool]:
        return self.row()

    def on_eof(self) -> Tuple[Iterable[Sums], bool]:
        return self.row() if self.due is not None else ((), self.RETAIN)

    def notify_at(self) -> Optional[datetime]:
        return self.due

    def row(self) -> Tuple[Iterable[Sums], bool]:
        """Passes the row on."""
        self.due = None
        return (self.years.sums(),), self.RETAIN

    def snapshot(self) -> Known:
        return self.years.all()


def next_save(every: timedelta) -> datetime:
    """Returns the next whole multiple of that time, so that countries that wait are saved together."""
    at = datetime.now(timezone.utc).timestamp()
    return datetime.fromtimestamp((at // every.total_seconds() + 1) * every.total_seconds(), timezone.utc)


class Table(DynamicSink):
    """The peers' table."""

    def __init__(self, url: str, meter: Meter) -> None:
        self.url = url
        self.meter = meter

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> StatelessSinkPartition:
        return Saver(self.url, self.meter)


class Saver(StatelessSinkPartition):
    """Saves rows in separate transactions, independent of the snapshots."""

    def __init__(self, url: str, meter: Meter) -> None:
        self.connection = table.connect(url)
        self.meter = meter

    def write_batch(self, items: List[Tuple[str, Sums]]) -> None:
        # If a country has two rows, the last one counts.
        table.save(self.connection, dict(items).items(), table.REPLACE)
        self.meter.commits()

    def close(self) -> None:
        self.connection.close()


def flow(options: Namespace, meter: Meter) -> Dataflow:
    """Joins the steps."""
    save_every = timedelta(seconds=options.save_every)
    dataflow = Dataflow("emissions")
    messages = operators.input("read", dataflow, Source(options, meter))
    observations = operators.flat_map_batch("decode", messages, lambda batch: decode(batch, meter))
    rows = operators.stateful_batch("country", observations, lambda known: Country(known, save_every))
    operators.output("save", rows, Table(options.database_url, meter))
    return dataflow


def recovery(folder: Optional[str]) -> Optional[RecoveryConfig]:
    """Returns Bytewax's snapshots in that folder, created if missing; none without a folder."""
    if not folder:
        return None
    path = Path(folder)
    if not path.is_dir():
        path.mkdir(parents=True)
        init_db_dir(path, SNAPSHOT_PARTITIONS)
    return RecoveryConfig(path)


def main() -> None:
    """Runs the dataflow once."""
    # No cycles are made here, and a search among millions of records takes a fifth of the time.
    gc.disable()
    meter = Meter()
    parser = Parser("Adds a topic's emissions up by country with Bytewax.")
    every = "least seconds between two rows of a country (%(default)s); 0: every batch"
    parser.add_argument("--save-every", type=seconds, default=5.0, metavar="S", help=every)
    snapshots = "keep snapshots of state and offsets there, every 10 s (none)"
    parser.add_argument("--recovery", metavar="FOLDER", help=snapshots)
    options = parser.parse_args()
    epoch = EPOCH if options.recovery else NO_EPOCH
    cli_main(flow(options, meter), epoch_interval=epoch, recovery_config=recovery(options.recovery))
    print(meter.line(), flush=True)


if __name__ == "__main__":
    main()
