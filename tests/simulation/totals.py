"""The counts of a run of simulations, that outlive the process: a run of many hours is stopped and gone on with."""

import heapq
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rdscsi.testing.simulation import Result

_COUNTS = ("schedules", "calls", "lines", "lives", "reboots", "faults", "hours", "cpu")


@dataclass(slots=True)
class Batch:
    """What came of some seeds in a row. `first`: their first number; None for the corpus, which is no part of a row."""

    first: int | None
    size: int
    schedules: int = 0
    calls: int = 0
    lines: int = 0
    lives: int = 0
    reboots: int = 0
    faults: int = 0
    hours: float = 0.0
    cpu: float = 0.0
    failures: list[tuple[str, int, list[str]]] = field(default_factory=list)

    def add(self, flavour: str, number: int, result: Result) -> None:
        """Count one simulation."""
        self.schedules += 1
        self.calls += result.calls
        self.lines += result.lines
        self.lives += result.lives
        self.reboots += result.reboots
        self.faults += result.faults
        self.hours += result.seconds / 3600
        if result.wrong:
            self.failures.append((flavour, number, result.wrong))


@dataclass(slots=True)
class Totals:
    """What was done so far, in this process and those before it that kept their counts in the same file.

    `next`: the first seed that is not known to be done. `seconds`: of the processes before.
    """

    next: int
    seconds: float = 0.0
    schedules: int = 0
    calls: int = 0
    lines: int = 0
    lives: int = 0
    reboots: int = 0
    faults: int = 0
    hours: float = 0.0
    cpu: float = 0.0
    failures: list[str] = field(default_factory=list)
    early: list[tuple[int, Batch]] = field(default_factory=list, init=False)

    @classmethod
    def load(cls, path: Path | None, first: int) -> "Totals":
        """Go on with the counts in a file; without one begin at a seed."""
        return cls(**json.loads(path.read_text())) if path is not None and path.exists() else cls(first)

    def save(self, path: Path | None, seconds: float) -> None:
        """Keep the counts, whole or not at all. `seconds`: how long this process has been at it."""
        if path is None:
            return
        kept = replace(self, seconds=self.seconds + seconds)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps({name: value for name, value in asdict(kept).items() if name != "early"}))
        fresh.rename(path)

    def add(self, batch: Batch) -> None:
        """Count a batch; batches of a row in the order of their numbers, so that none is counted twice after a stop."""
        if batch.first is None:
            self._count(batch)
            return
        heapq.heappush(self.early, (batch.first, batch))
        while self.early and self.early[0][0] == self.next:
            ready = heapq.heappop(self.early)[1]
            self.next += ready.size
            self._count(ready)

    def _count(self, batch: Batch) -> None:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(batch, name))
        self.failures += [f"{flavour} {number}: {wrong[0][:200]}" for flavour, number, wrong in batch.failures]


def told(totals: Totals, seconds: float) -> str:
    """Say it in a line. `seconds`: how long this process has been at it."""
    took = max(totals.seconds + seconds, 0.001)
    return (
        f"{totals.schedules} schedules, {totals.calls} calls, {totals.lines} console lines, {totals.faults} faults, "
        f"{totals.lives} lives, {totals.reboots} reboots, {len(totals.failures)} failures; "
        f"{60 * totals.schedules / took:.0f} schedules a minute, {totals.hours:.0f} simulated hours, "
        f"{3600 * totals.hours / max(totals.cpu, 0.001):.0f} of them per processor hour"
    )
