"""Runs a Trio program step by step, as a state machine of Hypothesis wants it: between steps its world stands still.

Trio runs as a guest (https://trio.readthedocs.io/en/stable/reference-lowlevel.html#using-guest-mode); its clock is
virtual, and goes on only while a step is waited for.
"""

from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import TypeVar

import outcome
import trio
import trio.testing

T = TypeVar("T")
Job = Callable[[], Awaitable[object]]

STUCK_SECONDS = 120.0


class Guest:
    """A Trio run in the hands of its host. `main` gets the channel of jobs, and must end when that is closed."""

    def __init__(self, main: Callable[[trio.MemoryReceiveChannel[Job]], Awaitable[None]]) -> None:
        self._ticks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._ended: outcome.Outcome[None] | None = None
        self._send, receive = trio.open_memory_channel[Job](1)
        trio.lowlevel.start_guest_run(
            main,
            receive,
            run_sync_soon_threadsafe=self._ticks.put,
            done_callback=self._end,
            clock=trio.testing.MockClock(autojump_threshold=0),
            host_uses_signal_set_wakeup_fd=True,
        )

    def _end(self, ended: "outcome.Outcome[None]") -> None:
        self._ended = ended

    def run(self, job: Callable[[], Awaitable[T]]) -> T:
        """Let the world go on until a job in it is done; return what it returned."""
        box: list[outcome.Outcome[T]] = []

        async def boxed() -> None:
            box.append(await outcome.acapture(job))

        self._ticks.put(lambda: self._send.send_nowait(boxed))
        self._tick_until(lambda: bool(box))
        return box[0].unwrap()

    def close(self) -> None:
        """End the run; raise what it ended with."""
        self._ticks.put(self._send.close)
        self._tick_until(lambda: False)

    def _tick_until(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._ended is not None:
                self._ended.unwrap()
                return
            self._ticks.get(timeout=STUCK_SECONDS)()
