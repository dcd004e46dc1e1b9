"""How long the appliance takes to answer: nothing, or as a real one does (routeros.md §5: 150 to 500 ms per exec)."""

import random
import re
from dataclasses import dataclass

_SPELLED = re.compile(r"(\d{1,6})(?::(\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Uniform between two bounds, in seconds."""

    low: float
    high: float


PROFILES = {"none": LatencyProfile(0.0, 0.0), "realistic": LatencyProfile(0.150, 0.250)}


def parse_latency(text: str) -> LatencyProfile:
    """`none`, `realistic`, or milliseconds: `200`, or `200:50` for 200 give or take 50. Raises ValueError."""
    if text in PROFILES:
        return PROFILES[text]
    found = _SPELLED.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r}: expected none, realistic, or milliseconds such as 200 or 200:50")
    mean, spread = int(found[1]), int(found[2] or 0)
    return LatencyProfile(max(mean - spread, 0) / 1000, (mean + spread) / 1000)


class Latency:
    """Samples of a profile by a seed of its own, so that a run can be repeated."""

    def __init__(self, profile: LatencyProfile, *, seed: int = 0) -> None:
        self.profile = profile
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def sample(self) -> float:
        """Seconds for one command."""
        return self._random.uniform(self.profile.low, self.profile.high)
