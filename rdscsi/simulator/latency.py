"""How long the appliance takes to answer: nothing, or as a real one does (routeros.md §5: 150 to 500 ms per exec)."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Uniform between two bounds, in seconds."""

    low: float
    high: float


PROFILES = {"none": LatencyProfile(0.0, 0.0), "realistic": LatencyProfile(0.150, 0.250)}


class Latency:
    """Samples of a profile by a seed of its own, so that a run can be repeated."""

    def __init__(self, profile: LatencyProfile, *, seed: int = 0) -> None:
        self._profile = profile
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def sample(self) -> float:
        """Seconds for one command."""
        return self._random.uniform(self._profile.low, self._profile.high)
