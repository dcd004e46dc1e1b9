"""What happens in one simulation, as data: made from a seed, replayed to the letter, shortened when it fails.

Times are virtual seconds from the beginning. Goals of one volume are pursued one after the other, as an orchestrator
does; everything else happens at its time.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

VOLUMES = ("a", "b", "c", "d")
NODES = ("node-1", "node-2", "node-3")
LENGTH = 240.0
"""Seconds in which things happen; then the world is left alone and must come right."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the orchestrator wants of a volume next. `patience`: how many maybes until it turns to its next goal."""

    at: float
    volume: str
    verb: str
    node: str = ""
    size: int = 0
    patience: int = 1000

    def __str__(self) -> str:
        extra = self.node or (f"{self.size} bytes" if self.size else "")
        return f"{self.at:7.2f} {self.verb} {self.volume} {extra}".rstrip()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong: see `rdscsi.testing.simulation` for what each kind does."""

    at: float
    kind: str
    seconds: float = 0.0
    statement: int = 1
    volume: str = ""

    def __str__(self) -> str:
        parts = [f"{self.at:7.2f} ! {self.kind}", self.volume, f"{self.seconds:.1f} s" if self.seconds else ""]
        return " ".join(part for part in parts if part)


Event = Goal | Trouble
LINE_TROUBLES = ("drop-before", "drop-after", "late", "late-middle", "stall-after", "cut", "refuse")
PROCESS_TROUBLES = ("crash", "stop")
OLD_JOURNAL = "journal old"
WORLD_TROUBLES = ("reboot", "away", "export flipped", "item removed", "journal lost")


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that happens. `seed` decides ids, epochs, delays, and the order of tasks that are ready together."""

    seed: int
    events: tuple[Event, ...]
    flush_delay: float
    delay: float

    def without(self, dropped: Sequence[int]) -> "Script":
        """Return the script without the events of these numbers."""
        gone = set(dropped)
        return replace(self, events=tuple(event for number, event in enumerate(self.events) if number not in gone))

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.delay * 1000:.0f} ms each way, flush delay {self.flush_delay:g} s"
        return "\n".join([head, *map(str, self.events)])


def make_script(seed: int) -> Script:
    """Return the script of a seed."""
    rng = random.Random(f"script {seed}")  # noqa: S311 - repeatable on purpose
    events: list[Event] = [goal for volume in VOLUMES for goal in _goals(rng, volume)]
    events += [_trouble(rng) for _ in range(rng.choice((0, 1, 2, 3, 5, 8, 12)))]
    events += _old_journal(random.Random(f"old journal {seed}"))  # noqa: S311 - of its own: seeds keep their scripts
    return Script(
        seed=seed,
        events=tuple(sorted(events, key=lambda event: event.at)),
        flush_delay=rng.choice((0.0, 0.0, 3.0, 8.0)),
        delay=rng.choice((0.0, 0.05, 0.1, 0.25)),
    )


def _goals(rng: random.Random, volume: str) -> list[Goal]:
    """A volume's life or two, with the detours that real ones take."""
    at, goals = rng.uniform(0.0, 40.0), []
    for _ in range(rng.choice((1, 1, 2))):
        wants = ["create"]
        for _ in range(rng.randrange(4)):
            wants += rng.choice((["publish", "unpublish"], ["publish", "expand", "unpublish"], ["expand"], ["create"]))
        if rng.random() < 0.7:
            wants.append("delete")
        node = rng.choice(NODES)
        for verb in wants:
            node = rng.choice(NODES) if verb == "publish" else node
            patience = rng.choice((1, 2, 1000, 1000, 1000))
            size = rng.randrange(1, 64) << 20 if verb == "expand" else 0
            goals.append(Goal(at, volume, verb, node if "publish" in verb else "", size, patience))
            at += rng.choice((0.0, 0.5, 5.0, 20.0, 45.0)) * rng.random()
    return [goal for goal in goals if goal.at < LENGTH]


def _old_journal(rng: random.Random) -> list[Trouble]:
    """In one script of six a copy of the journal is put back some time after it was made."""
    if rng.randrange(6):
        return []
    return [Trouble(rng.uniform(0.0, LENGTH * 0.5), OLD_JOURNAL, rng.choice((0.5, 5.0, 30.0, 90.0)))]


def _trouble(rng: random.Random) -> Trouble:
    kind = rng.choice((*LINE_TROUBLES, *LINE_TROUBLES, *PROCESS_TROUBLES, *PROCESS_TROUBLES, *WORLD_TROUBLES))
    at = rng.uniform(0.0, LENGTH * 0.8)
    seconds = {
        "late": rng.choice((1.0, 5.0, 20.0, 29.0, 45.0)),
        "late-middle": rng.choice((1.0, 5.0, 9.0)),
        "crash": rng.choice((0.0, 1.0, 30.0)),
        "stop": rng.choice((0.0, 1.0, 30.0)),
        "away": rng.choice((1.0, 20.0, 60.0)),
        "journal lost": rng.choice((0.0, 10.0)),
    }.get(kind, 0.0)
    return Trouble(at, kind, seconds, rng.randrange(1, 5), rng.choice(VOLUMES))
