"""Errors with the exit code that shows a caller whether to try again."""

USAGE = 64
INPUT = 65
UNAVAILABLE = 69
BUG = 70


class Fault(Exception):
    """Something a person can act upon; its text is the one line they read."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
