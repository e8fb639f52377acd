"""What a run cost, by the process's own clock; printed as one line of JSON."""

import json
import os
import sys
import time
from typing import Optional


class Meter:
    """Notes when the first record was requested and when the last was committed."""

    def __init__(self) -> None:
        self.records = 0
        self.unusable = 0
        self._started = started()
        self._requested: Optional[float] = None
        self._committed: Optional[float] = None

    def requests(self) -> None:
        """The program is connected, and requests its first record; later calls change nothing."""
        if self._requested is None:
            self._requested = now()
            since_start_ms = (self._requested - self._started) * 1e3
            print(f"ready since_start_ms={since_start_ms:.0f}", file=sys.stderr, flush=True)

    def commits(self) -> None:
        """Everything read so far is committed."""
        self._committed = now()

    def line(self) -> str:
        """Returns the result."""
        requested = self._requested if self._requested is not None else now()
        took = (self._committed or requested) - requested
        used = os.times()
        return json.dumps(
            {
                "records": self.records,
                "unusable": self.unusable,
                "seconds": round(took, 3),
                "records_per_second": round(self.records / took) if took > 0 else 0,
                "start_to_ready_seconds": round(requested - self._started, 3),
                "peak_rss_mib": round(peak_kib() / 1024, 1),
                "cpu_seconds": round(used.user + used.system, 2),
            }
        )


def now() -> float:
    """Returns the seconds since the machine was started, sleep included: the clock of /proc."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def started() -> float:
    """Returns when this process was started, so that loading Python counts; exact to 10 ms."""
    with open("/proc/self/stat") as stat:
        # The second field, a name in brackets, may contain blanks; the start is the 22nd, so the 20th after it.
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def peak_kib() -> int:
    """Returns the most memory this process had resident; `ru_maxrss` would include that of the program that started it."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmHWM"].split()[0])
