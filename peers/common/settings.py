"""The options of both peers."""

import argparse
import os
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """The options of every peer; ends with 64 at a wrong option, as the Rust programs do."""

    def __init__(self, what: str) -> None:
        super().__init__(description=what)
        self.add("--brokers", env("KAFKA_BROKERS", "localhost:9092"), "bootstrap servers, host:port,…")
        self.add("--topic", env("TOPIC", "emissions-topic"), "the topic that is read")
        url = env("DATABASE_URL", "postgres://postgres@localhost:5432/peers")
        # The value may contain a password, so help does not show it.
        own = "a database of the peer's own (DATABASE_URL)"
        self.add_argument("--database-url", default=url, metavar="URL", help=own)
        most = "most messages of a poll (%(default)s)"
        self.add_argument("--batch", type=whole, default=10_000, metavar="N", help=most)

    def add(self, option: str, default: str, what: str) -> None:
        """Adds an option that takes a text."""
        self.add_argument(option, default=default, metavar=option.strip("-").upper(), help=f"{what} (%(default)s)")

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(64, f"ERROR {message}\n")


def env(name: str, default: str) -> str:
    """Returns a variable's value; an empty one counts as unset."""
    return os.environ.get(name) or default


def whole(text: str) -> int:
    """Reads a count, which is 1 at least."""
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def seconds(text: str) -> float:
    """Reads seconds, 0 or more."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{number} is not a length of time")
    return number
