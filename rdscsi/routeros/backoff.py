"""When to try to connect again. Pure bookkeeping; time and chance come in as arguments. Used by `pool`."""

import math


class Backoff:
    """Exponential, with jitter: after failure n wait 50 to 100 % of `first * 2**(n - 1)` seconds, at most `longest`."""

    def __init__(self, *, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.failures = 0
        self.retry_at = -math.inf

    def failed(self, now: float, chance: float) -> float | None:
        """Count a failure; `chance` is in [0, 1). Return the seconds to wait.

        Attempts made at once fail for one reason, and count as one: None while the last failure is being waited out.
        """
        if now < self.retry_at:
            return None
        self.failures += 1
        longest = min(self._longest, self._first * 2.0 ** min(self.failures - 1, 32))
        wait = longest * (0.5 + 0.5 * chance)
        self.retry_at = now + wait
        return wait

    def recovered(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self.retry_at = -math.inf
