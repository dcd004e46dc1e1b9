"""What a power cut would lose: changes younger than the flush delay of their domain can be taken back.

Two domains, because RouterOS keeps configuration and a pool's file system by different clocks: either may be lost
without the other. With a delay of 0 nothing is remembered.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rdscsi.simulator.clock import Clock

Domain = Literal["config", "pool"]


@dataclass(frozen=True, slots=True)
class _Change:
    at: float
    undo: Callable[[], None]
    settle: Callable[[], None]


class UndoLog:
    """Changes that are not yet on stable storage, oldest first."""

    def __init__(self, clock: Clock, delays: dict[Domain, float]) -> None:
        self._clock = clock
        self._delays = delays
        self._changes: dict[Domain, deque[_Change]] = {"config": deque(), "pool": deque()}

    def remembers(self, domain: Domain) -> bool:
        return self._delays[domain] > 0

    def set_delay(self, domain: Domain, seconds: float) -> None:
        self._delays[domain] = seconds

    def record(self, domain: Domain, undo: Callable[[], None], settle: Callable[[], None] = lambda: None) -> None:
        """Remember how to take a change back; `settle` runs when it can no longer be lost."""
        if not self.remembers(domain):
            settle()
            return
        self._changes[domain].append(_Change(self._clock.now(), undo, settle))

    def expire(self) -> None:
        """Forget what has become persistent."""
        now = self._clock.now()
        for domain, changes in self._changes.items():
            while changes and now - changes[0].at >= self._delays[domain]:
                changes.popleft().settle()

    def flush(self) -> None:
        """Make everything persistent, as an orderly shutdown does."""
        for changes in self._changes.values():
            while changes:
                changes.popleft().settle()

    def revert(self) -> int:
        """The power cut: take back what was not persistent, newest first; the number of changes lost."""
        self.expire()
        lost = 0
        for changes in self._changes.values():
            while changes:
                changes.pop().undo()
                lost += 1
        return lost
