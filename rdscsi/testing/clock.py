"""The simulated appliance's clock under Trio's: virtual time for both, so that uptimes and deadlines agree."""

import trio

EPOCH = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC: what the wall clock shows when a Trio run begins at 0."""


class TrioClock:
    """A `rdscsi.simulator.clock.Clock` that follows `trio.current_time`. Made inside a Trio run, for that run.

    A line that pauses (`:delay`) is run at once and in one piece; the clock is then ahead until Trio's has caught up,
    for which the transport waits. It never goes back.
    """

    def __init__(self) -> None:
        self._floor = 0.0
        self._clock = trio.lowlevel.current_clock()  # lines that a fault has paused ask from threads of their own

    def now(self) -> float:
        """Seconds since the epoch."""
        return EPOCH + max(self._floor, self._clock.current_time())

    def pause(self, seconds: float) -> None:
        """Let time pass for the line that pauses."""
        self._floor = self.now() - EPOCH + seconds

    @property
    def ahead(self) -> float:
        """Seconds until Trio's clock has caught up."""
        return max(0.0, self._floor - self._clock.current_time())

    def host_boot(self) -> str:
        """The host never reboots."""
        return "trio"


def wall_clock() -> float:
    """Seconds since the epoch by the same reckoning, for journals in virtual time."""
    return EPOCH + trio.current_time()
