"""One schedule of the enumeration: a call under some strikes, what the orchestrator does then, and how it ends."""

import enum
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio
import trio.testing

from rdscsi.errors import DriverError, NotFinal, Quarantined
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.testing.invariants import Holdings, Promises, half_made, holdings, violations
from rdscsi.testing.orchestrator import settle
from rdscsi.testing.scenarios import Scenario, Step
from rdscsi.testing.strikes import Bug, Counting, Strike
from rdscsi.testing.world import OPTIONS, Process, World, in_memory, open_world

PATIENCE = 3000.0
SETTLED_AFTER = 700.0
FLUSH = 5.0


class Reaction(enum.StrEnum):
    """What the orchestrator does about a call that got no final answer."""

    RETRIES = "retries"
    GIVES_UP = "gives up"
    DELETES = "deletes"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run. `restart`: the process ends after the struck call, whatever became of it."""

    scenario: Scenario
    strikes: Sequence[Strike] = ()
    reaction: Reaction = Reaction.RETRIES
    restart: bool = False
    flush_delay: float = 0.0
    fast: bool = False


class Ended(enum.StrEnum):
    """How the struck call ended: with a final answer or another one, or together with its process."""

    FINAL = "final"
    OPEN = "open"
    KILLED = "killed"


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    counting: Counting
    ended: Ended
    wrong: list[str] = field(default_factory=list)
    not_struck: int = 0


def run(schedule: Schedule) -> Outcome:
    """Run one schedule in a world of its own, in virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-world-", dir=in_memory()) as directory:
        return trio.run(_run, schedule, Path(directory), clock=clock)


async def _run(schedule: Schedule, directory: Path) -> Outcome:
    pool = PoolOptions(size=1 << 40)
    behaviour = Behaviour(config_flush_delay=schedule.flush_delay, pool_flush_delay=schedule.flush_delay)
    appliance = ApplianceOptions(pool=pool, initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=schedule.flush_delay, abandon_after=300.0, refresh_every=300.0)
    async with open_world(directory, appliance=appliance, options=options, fast=schedule.fast) as world:
        return await _Run(world, schedule).through()


class _Run:
    def __init__(self, world: World, schedule: Schedule) -> None:
        self.world = world
        self.schedule = schedule
        self.promises = Promises()
        self.final = False
        self.ended = Ended.KILLED
        self.wrong: list[str] = []
        self.before = Holdings({}, frozenset())

    async def through(self) -> Outcome:
        world = self.world
        world.machine.put_stranger("backup")
        world.machine.put_stranger("vaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaa")
        async with world.process() as process:
            await self._struck(process)
        counting = world.strikes.counting
        not_struck = world.strikes.left
        world.strikes.disarm()
        with trio.fail_after(10 * PATIENCE):
            async with world.process(ready=False) as process:
                await self._react(process)
                await trio.sleep(SETTLED_AFTER)
                self.wrong += await violations(world.machine, process.journal, self.promises, self.before)
        return Outcome(counting, self.ended, self.wrong, not_struck)

    async def _struck(self, process: Process) -> None:
        for step in self.schedule.scenario.before:
            await settle(lambda step=step: step(process.controller, self.promises))  # type: ignore[misc]
        await trio.sleep(10 * FLUSH)
        self.schedule.scenario.meddle(self.world)
        self.before = holdings(self.world.machine)
        self.world.strikes.arm(self.schedule.strikes)
        self.final = await self._called(process)
        self.ended = Ended.FINAL if self.final else Ended.OPEN
        if not self.final and not self.schedule.restart:
            await self._react(process)
            await trio.sleep(SETTLED_AFTER)

    async def _called(self, process: Process) -> bool:
        """Call once; tell whether the answer was final. A final error must leave nothing of ours half made."""
        try:
            await self.schedule.scenario.call(process.controller, self.promises)
        except (NotFinal, Bug):  # the edge answers ABORTED for a bug
            return False
        except DriverError:
            self.promises.sure(self.schedule.scenario.about)
        self.wrong += [
            f"a final answer with an open operation: {one.kind}" for one in await process.journal.open_operations()
        ]
        self.wrong += await half_made(self.world.machine, process.journal)
        return True

    async def _react(self, process: Process) -> None:
        """Do what the orchestrator does, in this process or in the next one. After a final answer it asks once more."""
        if not self.final and self.schedule.reaction is Reaction.GIVES_UP:
            self.promises.doubt(self.schedule.scenario.about)
            return
        call = self.schedule.scenario.call
        if not self.final and self.schedule.reaction is Reaction.DELETES:
            call = self.schedule.scenario.abandon
        try:
            await settle(lambda: call(process.controller, self.promises), patience=PATIENCE)
        except DriverError:
            self.promises.sure(self.schedule.scenario.about)
        except trio.TooSlowError:
            await self._explain(call, process)
        self.final = True

    async def _explain(self, call: Step, process: Process) -> None:
        """Ask once more, in a quiet moment. Only a quarantine that the scenario brings with it may hold for ever."""
        await trio.sleep(10.0)
        try:
            await call(process.controller, self.promises)
            self.wrong.append(f"no final answer within {PATIENCE:g} s")
        except NotFinal as error:
            if not (self.schedule.scenario.quarantines and isinstance(error, Quarantined)):
                self.wrong.append(f"no final answer within {PATIENCE:g} s: {type(error).__name__}: {error}")


def run_all(schedule: Schedule) -> Iterator[tuple[Schedule, Outcome]]:
    """Run a schedule with every reaction, in the same process and after a restart.

    What would be the same run once more is left out: a final answer is met by no reaction, and a process that was
    killed is followed by another one in any case.
    """
    first = run(schedule)
    yield schedule, first
    reactions = () if first.ended is Ended.FINAL else tuple(Reaction)
    restarts = (False, True) if first.ended is Ended.OPEN else (False,)
    for reaction, restart in itertools.product(reactions, restarts):
        other = replace(schedule, reaction=reaction, restart=restart)
        if other != schedule:
            yield other, run(other)
