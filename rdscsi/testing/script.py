"""What happens in one simulation, as data: made from a seed, replayed to the letter, shortened when it fails.

Times are virtual seconds from the beginning. Goals of one volume are pursued one after the other, as an orchestrator
does; everything else happens at its time.
"""

import enum
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

VOLUMES = ("a", "b", "c", "d")
SNAPSHOTS = ("s", "t")
SNAPSHOT, DROP = "snapshot", "drop"
NODES = ("node-1", "node-2", "node-3")
LENGTH, SHORT_LENGTH, DUET_LENGTH, BRIEF_LENGTH = 240.0, 60.0, 120.0, 20.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What the orchestrator wants of a volume or snapshot next. `source`: what it is to be a copy of.

    `patience`: how many maybes until it turns to its next goal.
    """

    at: float
    volume: str
    verb: str
    node: str = ""
    size: int = 0
    patience: int = 1000
    source: str = ""

    def __str__(self) -> str:
        extra = self.node or (f"{self.size} bytes" if self.size else "") or (f"of {self.source}" if self.source else "")
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
API_AWAY = "API server away"
PODS = ("one", "two")
WORLD_TROUBLES = ("reboot", "away", "export flipped", "item removed", "journal lost")


class Leases(enum.Enum):
    """What two controllers have to tell them who leads."""

    NONE = "no Lease"
    ONE = "one Lease"
    OWN = "a Lease each"


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that happens. `seed` decides ids, epochs, delays, and the order of tasks that are ready together.

    `length`: seconds in which things happen; then the world is left alone and must come right within `quiet` seconds.
    `leases`: where there are two controllers, what they go by.
    """

    seed: int
    events: tuple[Event, ...]
    flush_delay: float
    delay: float
    length: float = LENGTH
    leases: Leases | None = None
    quiet: float = 180.0

    def without(self, dropped: Sequence[int]) -> "Script":
        """Return the script without the events of these numbers."""
        gone = set(dropped)
        return replace(self, events=tuple(event for number, event in enumerate(self.events) if number not in gone))

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.delay * 1000:.0f} ms each way, flush delay {self.flush_delay:g} s"
        head += f", two controllers, {self.leases.value}" if self.leases is not None else ""
        return "\n".join([head, *map(str, self.events)])


def make_script(seed: int, flavour: str = "long") -> Script:
    """Return the script of a seed. `flavour`: one of FLAVOURS, or MIXED or DENSE, where the seed decides that too."""
    if flavour == DENSE:
        seed, rest = divmod(seed, _BRIEF_OF) if seed % _BRIEF_OF == 0 else (seed, 1)
        flavour = MIXED if rest == 0 else "brief"
    if flavour == MIXED:
        flavour = _MIXED[seed % len(_MIXED)]
    return FLAVOURS[flavour](seed)


def long_script(seed: int) -> Script:
    """Four volumes' lives, two for some, with up to a dozen troubles."""
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


def short_script(seed: int) -> Script:
    """A life of one volume or two, and one to four troubles close together, where each can meet the others."""
    rng = random.Random(f"short {seed}")  # noqa: S311 - repeatable on purpose
    volumes = VOLUMES[: rng.choice((1, 1, 2))]
    goals = [goal for volume in volumes for goal in _goals(rng, volume, begin=6.0, lives=(1,), most=2)]
    goals = [goal for goal in goals if goal.at < SHORT_LENGTH]
    until = min(SHORT_LENGTH, max(goal.at for goal in goals) + 10.0)
    troubles = [_trouble(rng, until=until, volumes=volumes) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
    if rng.randrange(12) == 0:
        troubles.append(Trouble(rng.uniform(0.0, until / 2), OLD_JOURNAL, rng.choice((0.5, 5.0, 30.0))))
    return Script(
        seed=seed,
        events=tuple(sorted((*goals, *troubles), key=lambda event: event.at)),
        flush_delay=rng.choice((0.0, 0.0, 3.0, 8.0)),
        delay=rng.choice((0.0, 0.05, 0.1, 0.25)),
        length=SHORT_LENGTH,
    )


def brief_script(seed: int) -> Script:
    """A few seconds of one volume, with one to three troubles among them: many of these cost as one long life does."""
    rng = random.Random(f"brief {seed}")  # noqa: S311 - repeatable on purpose
    wants = ["create"]
    for _ in range(rng.choice((0, 1, 1, 2))):
        wants += rng.choice((["publish", "unpublish"], ["publish"], ["unpublish"], ["expand"], ["create"], ["expand"]))
    wants += ["delete"] if rng.random() < 0.7 else []
    goals = list(_life(rng, "a", wants, "", rng.uniform(0.0, 2.0), (0.0, 0.1, 0.5, 3.0)))
    if rng.randrange(4) == 0:
        taken = [SNAPSHOT, *([DROP] if rng.random() < 0.7 else [])]
        goals += _life(rng, "s", taken, "a", rng.uniform(0.0, goals[-1].at), (0.0, 0.5, 3.0))
    until = max(goal.at for goal in goals) + 2.0
    troubles = [_trouble(rng, until=until, volumes=("a",)) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    if rng.randrange(12) == 0:
        troubles.append(Trouble(rng.uniform(0.0, until), OLD_JOURNAL, rng.choice((0.5, 3.0, 10.0))))
    return Script(
        seed=seed,
        events=tuple(sorted((*goals, *troubles), key=lambda event: event.at)),
        flush_delay=rng.choice((0.0, 0.0, 3.0)),
        delay=rng.choice((0.0, 0.05, 0.1, 0.25)),
        length=BRIEF_LENGTH,
    )


def copies_script(seed: int) -> Script:
    """Snapshots and copies of a volume that lives on or is deleted meanwhile, and what becomes of them; troubles."""
    rng = random.Random(f"copies {seed}")  # noqa: S311 - repeatable on purpose
    goals = _goals(rng, "a", begin=2.0, lives=(1, 1, 2), most=2)
    goals += [goal for copied in rng.choice((("s",), ("s", "t"), ("s", "d"), ("d",))) for goal in _copied(rng, copied)]
    goals = [goal for goal in goals if goal.at < SHORT_LENGTH]
    until = min(SHORT_LENGTH, max(goal.at for goal in goals) + 10.0)
    objects = sorted({goal.volume for goal in goals if goal.volume in VOLUMES})
    troubles = [_trouble(rng, until=until, volumes=objects) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return Script(
        seed=seed,
        events=tuple(sorted((*goals, *troubles), key=lambda event: event.at)),
        flush_delay=rng.choice((0.0, 0.0, 3.0, 8.0)),
        delay=rng.choice((0.0, 0.05, 0.1, 0.25)),
        length=SHORT_LENGTH,
    )


def _copied(rng: random.Random, copied: str) -> list[Goal]:
    """The lives of a snapshot and of a volume that is made of it, each by a caller of its own; or of a clone."""

    life = partial(_life, rng, gaps=(0.0, 0.5, 5.0, 15.0))
    begin = rng.uniform(0.5, 20.0)
    restored = [verb for verb in ("create", "create", "expand", "publish", "unpublish") if rng.random() < 0.5]
    restored = ["create", *restored, *(["delete"] if rng.random() < 0.6 else [])]
    if copied not in SNAPSHOTS:
        return list(life(copied, restored, "a", begin))
    taken = [SNAPSHOT, *([SNAPSHOT] if rng.random() < 0.3 else []), *([DROP] if rng.random() < 0.7 else [])]
    goals = list(life(copied, taken, "a", begin))
    if rng.random() < 0.6:
        volume = {"s": "b", "t": "c"}[copied]
        goals += life(volume, restored, copied, begin + rng.uniform(0.5, 10.0))
    return goals


def _life(
    rng: random.Random, name: str, verbs: Sequence[str], source: str, begin: float, gaps: Sequence[float]
) -> Iterator[Goal]:
    """One want after the other, each at most one of the gaps later. `source`: what it is a copy of."""
    at = begin
    for verb in verbs:
        made_of = source if verb in ("create", SNAPSHOT) else ""
        size = rng.randrange(1, 64) << 20 if verb == "expand" else 0
        node = rng.choice(NODES) if verb == "publish" else ""
        yield Goal(at, name, verb, node, size, rng.choice((1, 2, 1000, 1000, 1000)), made_of)
        at += rng.choice(gaps) * rng.random()


def duet_script(seed: int) -> Script:
    """Two controllers, a volume's life or two, and troubles of either of them."""
    rng = random.Random(f"duet {seed}")  # noqa: S311 - repeatable on purpose
    volumes = VOLUMES[: rng.choice((1, 1, 2))]
    goals = [goal for volume in volumes for goal in _goals(rng, volume, begin=60.0, lives=(1, 1, 2), most=2)]
    goals = [goal for goal in goals if goal.at < DUET_LENGTH]
    until = min(DUET_LENGTH * 0.8, max(goal.at for goal in goals) + 10.0)
    troubles = [_trouble_of_two(rng, until) for _ in range(rng.choice((1, 2, 3, 4)))]
    return Script(
        seed=seed,
        events=tuple(sorted((*goals, *troubles), key=lambda event: event.at)),
        flush_delay=rng.choice((0.0, 0.0, 3.0, 8.0)),
        delay=rng.choice((0.0, 0.05, 0.1, 0.25)),
        length=DUET_LENGTH,
        leases=rng.choice((Leases.NONE, Leases.ONE, Leases.ONE, Leases.OWN)),
        quiet=rng.choice((180.0, 180.0, 600.0)),
    )


def _trouble_of_two(rng: random.Random, until: float) -> Trouble:
    kind = rng.choice((*LINE_TROUBLES, *PROCESS_TROUBLES, *PROCESS_TROUBLES, API_AWAY, API_AWAY, "away", "reboot"))
    seconds = rng.choice((10.0, 25.0, 60.0)) if kind == API_AWAY else _seconds(rng, kind)
    return Trouble(rng.uniform(0.0, until), kind, seconds, rng.randrange(1, 5), rng.choice(PODS))


FLAVOURS: Mapping[str, Callable[[int], Script]] = {
    "long": long_script,
    "short": short_script,
    "brief": brief_script,
    "copies": copies_script,
    "duet": duet_script,
}
MIXED = "mixed"
DENSE = "dense"
_BRIEF_OF = 10
"""Of so many dense seeds all but one are brief: half of the time goes to each."""
_MIXED = ("short", "copies", "short", "copies", "duet", "long", "short", "copies", "short", "copies")


def _goals(
    rng: random.Random, volume: str, *, begin: float = 40.0, lives: Sequence[int] = (1, 1, 2), most: int = 3
) -> list[Goal]:
    """A volume's life or two, with at most so many of the detours that real ones take."""
    at, goals = rng.uniform(0.0, begin), []
    for _ in range(rng.choice(lives)):
        wants = ["create"]
        for _ in range(rng.randrange(most + 1)):
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


def _trouble(rng: random.Random, *, until: float = LENGTH * 0.8, volumes: Sequence[str] = VOLUMES) -> Trouble:
    kind = rng.choice((*LINE_TROUBLES, *LINE_TROUBLES, *PROCESS_TROUBLES, *PROCESS_TROUBLES, *WORLD_TROUBLES))
    at = rng.uniform(0.0, until)
    seconds = _seconds(rng, kind)
    return Trouble(at, kind, seconds, rng.randrange(1, 5), rng.choice(volumes))


def _seconds(rng: random.Random, kind: str) -> float:
    """How long or how late; the dice are thrown for each kind, so that seeds keep their scripts."""
    return {
        "late": rng.choice((1.0, 5.0, 20.0, 29.0, 45.0)),
        "late-middle": rng.choice((1.0, 5.0, 9.0)),
        "crash": rng.choice((0.0, 1.0, 30.0)),
        "stop": rng.choice((0.0, 1.0, 30.0)),
        "away": rng.choice((1.0, 20.0, 60.0)),
        "journal lost": rng.choice((0.0, 10.0)),
    }.get(kind, 0.0)
