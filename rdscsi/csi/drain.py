"""Which calls run, and how their running comes to an end when the process is to end. Knows no gRPC.

Both loops share one thread, so what is not async here may be called from either.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

_UNWIND_SECONDS = 5.0
"""What a call gets to clean up after it was cut short. The operations behind the calls are not touched (law 1)."""


class InFlight:
    """The calls that run now."""

    def __init__(self) -> None:
        self._calls = 0
        self._draining = False
        self._cut_short = False
        self._scopes: set[trio.CancelScope] = set()
        self._idle = trio.Event()

    @property
    def calls(self) -> int:
        """How many calls run."""
        return self._calls

    @property
    def draining(self) -> bool:
        """Whether new calls are to be refused."""
        return self._draining

    def began(self) -> None:
        """Count a call in. `ended` must follow, whatever becomes of it."""
        self._calls += 1

    def ended(self) -> None:
        """Count a call out: its answer is written, or nobody is there to take it."""
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    @contextmanager
    def cuttable(self) -> Iterator[None]:
        """Run a call's work so that draining can cut it short; the body then ends here, early and without an error."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._cut_short:
                scope.cancel(reason="the process is ending")
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def refuse(self) -> None:
        """Have new calls refused from now on."""
        self._draining = True

    async def drain(self, grace_seconds: float) -> int:
        """Have new calls refused, wait for those that run, cut the rest short after the grace period.

        Returns how many were cut short. A call that does not even end then is waited for some seconds, not for ever.
        """
        self.refuse()
        with trio.move_on_after(grace_seconds):
            await self._wait_idle()
        left = self._calls
        self._cut_short = True
        for scope in list(self._scopes):
            scope.cancel(reason="the process is ending")
        with trio.move_on_after(_UNWIND_SECONDS):
            await self._wait_idle()
        return left

    async def _wait_idle(self) -> None:
        while self._calls:
            if self._idle.is_set():
                self._idle = trio.Event()
            await self._idle.wait()
