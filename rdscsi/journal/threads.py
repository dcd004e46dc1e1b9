"""Runs SQL off the Trio thread, one job at a time; or in place, for virtual time (where a thread would not count).

Each connection has one of these. A job that a deadline gave up on keeps its place until it really ends, so that a
connection is never used by two threads.
"""

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")

JOB_SECONDS = 60.0  # a disk that takes longer has failed (law 11); a commit takes milliseconds


class SqlThread:
    """A place to run blocking jobs in, one after the other."""

    def __init__(self, *, inline: bool) -> None:
        self._inline = inline
        self._limiter = trio.CapacityLimiter(1)

    @property
    def stuck(self) -> bool:
        """Whether a job that was given up is still running: its connection must not be touched."""
        return self._limiter.borrowed_tokens > 0

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job to its end, or not at all when cancelled before.

        Raises what the job raises, and trio.TooSlowError when the disk hangs.
        """
        await trio.lowlevel.checkpoint()
        if self._inline:
            return job()
        with trio.move_on_after(JOB_SECONDS, shield=True):  # a cancelled caller must not leave a thread behind
            return await trio.to_thread.run_sync(job, limiter=self._limiter, abandon_on_cancel=True)
        raise trio.TooSlowError(f"the disk has not answered for {JOB_SECONDS:g} s")
