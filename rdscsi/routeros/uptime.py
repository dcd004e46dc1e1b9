"""The appliance's own clock: uptime texts, and the window in which a command line may act (law 4).

A line that outlives its session must not act late, and one from before a reboot must not act at all. Each line
therefore carries a window of uptime, taken from what the appliance last told. Pure; time comes in as arguments.
"""

import math
import re
from dataclasses import dataclass

_UPTIME = re.compile(r"(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)(?:\.\d+)?", re.ASCII)
_WEEK, _DAY = 7 * 86400, 86400
DRIFT = 0.01
"""How much faster or slower than ours the appliance's clock may run, at most."""


def parse_uptime(text: str) -> int:
    """Read a RouterOS time such as `1w2d03:04:05` as whole seconds. Raises ValueError for anything else."""
    match = _UPTIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a RouterOS time: {text!r}")
    weeks, days, hours, minutes, seconds = (int(match[part] or 0) for part in "wdhms")
    return weeks * _WEEK + days * _DAY + hours * 3600 + minutes * 60 + seconds


def render_uptime(seconds: int) -> str:
    """Render whole seconds as a RouterOS time literal, e.g. `1w2d03:04:05`."""
    if seconds < 0:
        raise ValueError(f"uptime cannot be negative: {seconds}")
    weeks, rest = divmod(seconds, _WEEK)
    days, rest = divmod(rest, _DAY)
    prefix = (f"{weeks}w" if weeks else "") + (f"{days}d" if days else "")
    return f"{prefix}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


@dataclass(frozen=True, slots=True)
class Window:
    """The uptimes, in whole seconds and both included, in which a line may act."""

    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One reading of the appliance's uptime and when, on the driver's clock, it was asked for and told."""

    uptime: int
    sent_at: float
    received_at: float

    def at_least(self, at: float) -> int:
        """The uptime at that moment is at least this much, unless the appliance rebooted after the reading."""
        elapsed = at - self.received_at
        return max(0, self.uptime + math.floor(elapsed * (1 - DRIFT) if elapsed > 0 else elapsed))

    def at_most(self, at: float) -> int:
        """The uptime at that moment is at most this much: readings are rounded down and taken after the sending."""
        return self.uptime + 1 + math.ceil((at - self.sent_at) * (1 + DRIFT))

    def window(self, now: float, seconds: float) -> Window:
        """Return a window that is open now and closes `seconds` from now at the earliest."""
        return Window(max(0, self.at_least(now) - 1), self.at_most(now) + math.ceil(seconds))

    def newer_than(self, other: "Sighting") -> bool:
        """Tell whether this reading was asked for after the other; commands overlap on several connections."""
        return self.sent_at > other.sent_at

    def rebooted_since(self, other: "Sighting") -> bool:
        """Tell whether the appliance has rebooted between an older reading and this one: its uptime fell."""
        return self.uptime + 1 < other.at_least(self.sent_at)
