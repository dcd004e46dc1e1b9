"""What came of drills, as data: events in their order, what stood where before and after, and the verdict.

Times are seconds since the struck call began; virtual ones, for the simulated RDS waits in no time.
"""

import enum
from dataclasses import dataclass, field

FORMAT = "rdscsi-drill-1"


class Lane(enum.StrEnum):
    """Who an event befell."""

    CALLER = "caller"
    CONTROLLER = "controller"
    JOURNAL = "journal"
    APPLIANCE = "appliance"


class Mark(enum.StrEnum):
    """How an event looks in a picture."""

    STEP = "step"
    TROUBLE = "trouble"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `life` counts the controller's processes from 1."""

    at: float
    lane: Lane
    text: str
    mark: Mark = Mark.STEP
    life: int = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on the appliance, and what the journal says, at one moment."""

    appliance: tuple[str, ...]
    journal: tuple[str, ...]


@dataclass(slots=True)
class Rehearsal:
    """One case: where it was struck, and how it ended. `wrong` holds a sentence for each broken promise."""

    case: str
    events: list[Event] = field(default_factory=list)
    before: Standing = Standing((), ())
    struck: Standing = Standing((), ())
    after: Standing = Standing((), ())
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.wrong


@dataclass(slots=True)
class Verdict:
    """A drill with all its rehearsals. `seconds`: real ones, of running it."""

    name: str
    title: str
    promise: str
    rehearsals: list[Rehearsal] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Tell whether there was a rehearsal, and each one passed."""
        return bool(self.rehearsals) and all(one.passed for one in self.rehearsals)
