"""A plain consumer loop: confluent-kafka in, a dictionary of sums, PostgreSQL out. At least once.

Polls a batch, adds it up, adds the sums to the stored rows in one transaction, and commits the offsets after that. It
ends at the end that its partitions had when it got them, and prints one line of JSON.
"""

import gc
from argparse import Namespace
from collections import defaultdict
from typing import Dict, List

from common import table
from common.message import by_country
from common.meter import Meter, now
from common.settings import Parser, env, seconds
from common.sums import Sums, add, empty
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

# The longest that a poll waits for a batch to fill, and that the broker may take to return a partition's end.
POLL_S = 0.1
REQUEST_TIMEOUT_S = 10.0
# By default the client pauses for a second when its queue is full, and then the loop waits for the client.
FETCHING = {"fetch.queue.backoff.ms": 5}


class Loop:
    """A member of the group, a connection, and the sums that are not saved yet."""

    def __init__(self, options: Namespace, meter: Meter) -> None:
        self.options = options
        self.meter = meter
        self.connection = table.connect(options.database_url)
        self.consumer = Consumer(
            {
                "bootstrap.servers": options.brokers,
                "group.id": options.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                **FETCHING,
            }
        )
        self.ends: Dict[int, int] = {}
        self.sums: Dict[str, Sums] = defaultdict(empty)
        self.saved_at = now()

    def run(self) -> None:
        """Reads to the end, and saves as it goes."""
        self.consumer.subscribe([self.options.topic], on_assign=self.assigned, on_revoke=self.revoked)
        while not self.ends or self.left() > 0:
            wanted = min(self.options.batch, self.left() or self.options.batch)
            self.take(self.consumer.consume(wanted, POLL_S))
            if now() - self.saved_at >= self.options.save_every:
                self.save()
        self.save()
        self.consumer.close()
        self.connection.close()

    def assigned(self, consumer: Consumer, partitions: List[TopicPartition]) -> None:
        """Notes the end offsets of the partitions."""
        for partition in partitions:
            self.ends[partition.partition] = consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT_S)[1]
        self.meter.requests()

    def revoked(self, _consumer: Consumer, _partitions: List[TopicPartition]) -> None:
        """Saves what was read of partitions that another member gets."""
        self.save()
        self.ends.clear()

    def left(self) -> int:
        """Returns how many offsets are still to be read."""
        positions = self.consumer.position([TopicPartition(self.options.topic, number) for number in self.ends])
        return sum(max(0, self.ends[position.partition] - max(0, position.offset)) for position in positions)

    def take(self, messages: List[Message]) -> None:
        """Decodes messages, and adds them up."""
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        countries, unusable = by_country([message.value() for message in messages])
        for code, observations in countries.items():
            add(self.sums[code], observations)
        self.meter.records += len(messages)
        self.meter.unusable += unusable

    def save(self) -> None:
        """Saves, then commits the offsets: a crash between the two counts these records twice."""
        self.saved_at = now()
        if not self.sums:
            return
        table.save(self.connection, self.sums.items(), table.ADD)
        self.consumer.commit(asynchronous=False)
        self.meter.commits()
        self.sums.clear()


def main() -> None:
    """Runs the loop once."""
    # No cycles are made here, and a search among millions of records takes a fifth of the time.
    gc.disable()
    meter = Meter()
    options = Parser("Adds a topic's emissions up by country, at least once.")
    options.add("--group", env("GROUP", "peers-loop"), "the consumer group")
    every = "least seconds between two saves (%(default)s); 0: every batch"
    options.add_argument("--save-every", type=seconds, default=0.0, metavar="S", help=every)
    Loop(options.parse_args(), meter).run()
    print(meter.line(), flush=True)


if __name__ == "__main__":
    main()
