"""The appliance's time: a wall clock that decides uptime and dates, and how `:delay` waits.

`SystemClock` is real; `ManualClock` is for tests: time passes when a test or a `:delay` says so.
"""

import threading
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, a pause, and which boot of the host the seconds belong to."""

    def now(self) -> float: ...

    def pause(self, seconds: float) -> None: ...

    def host_boot(self) -> str: ...


class SystemClock:
    """The host's clock. `stop()` wakes every pause, for shutdown."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> float:
        return time.time()

    def pause(self, seconds: float) -> None:
        self._stopped.wait(min(seconds, 86400))

    def stop(self) -> None:
        self._stopped.set()

    def host_boot(self) -> str:
        """When the host itself rebooted, the simulated appliance did too."""
        path = Path("/proc/sys/kernel/random/boot_id")
        return path.read_text(encoding="ascii").strip() if path.exists() else ""


class ManualClock:
    """Time that stands still; `advance` and `pause` move it."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:  # 2026-01-01 00:00:00 UTC
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def pause(self, seconds: float) -> None:
        self._now += seconds

    def host_boot(self) -> str:
        return "manual"
