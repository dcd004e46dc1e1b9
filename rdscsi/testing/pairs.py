"""Two strikes on one call and its recovery: wherever the first one fell, the second falls on what comes of it.

The first strike decides which effects are left, so they are counted in a run under the first alone. Both may end the
process: lives follow each other until one of them has brought everything to rest.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import trio
import trio.testing

from rdscsi.errors import DriverError, NotFinal, OperationPending
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.testing.invariants import Holdings, Promises, half_made, holdings, violations
from rdscsi.testing.orchestrator import settle
from rdscsi.testing.scenarios import VOLUME_ID, Scenario, Step, remove
from rdscsi.testing.schedules import FLUSH, PATIENCE, SETTLED_AFTER, Reaction
from rdscsi.testing.strikes import Bug, Counting, Strike, enumerate_strikes
from rdscsi.testing.world import OPTIONS, Process, World, in_memory, open_world

LATE = (5.0,)
MOST_LIVES = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """Two strikes, the second counted from the moment at which the first fell."""

    first: Strike
    second: Strike

    def __str__(self) -> str:
        return f"{self.first}, then {self.second}"


@dataclass(slots=True)
class Ending:
    """What came of one run. `counting`: the effects since the last strike fell, up to rest."""

    counting: Counting
    wrong: list[str] = field(default_factory=list)
    not_struck: int = 0


def firsts(scenario: Scenario, *, fast: bool = True) -> list[Strike]:
    """Every strike that can fall on the call."""
    return _strikes(run_pair(scenario, (), fast=fast).counting)


def seconds(scenario: Scenario, first: Strike, *, fast: bool = True) -> list[Strike]:
    """Every strike that can fall on what comes after the first one, up to rest."""
    return _strikes(run_pair(scenario, (first,), fast=fast).counting)


def pairs(scenario: Scenario, first: Strike, *, fast: bool = True) -> Iterator[Pair]:
    """Every pair that begins with `first`."""
    for second in seconds(scenario, first, fast=fast):
        yield Pair(first, second)


def _strikes(seen: Counting) -> list[Strike]:
    return enumerate_strikes(seen, late=LATE, paused=(), flush_delay=True)


def run_pair(
    scenario: Scenario, strikes: Sequence[Strike], *, reaction: Reaction = Reaction.RETRIES, fast: bool = True
) -> Ending:
    """Run a call under some strikes, in a world of its own, in virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-world-", dir=in_memory()) as directory:
        return trio.run(_run, scenario, strikes, reaction, fast, Path(directory), clock=clock)


async def _run(
    scenario: Scenario, strikes: Sequence[Strike], reaction: Reaction, fast: bool, directory: Path
) -> Ending:
    behaviour = Behaviour(config_flush_delay=FLUSH, pool_flush_delay=FLUSH)
    appliance = ApplianceOptions(pool=PoolOptions(size=1 << 40), initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=FLUSH, abandon_after=300.0, refresh_every=300.0)
    async with open_world(directory, appliance=appliance, options=options, fast=fast) as world:
        return await _Lives(world, scenario, strikes, reaction).through()


class _Lives:
    """The lives of a controller until one of them comes to rest."""

    def __init__(self, world: World, scenario: Scenario, strikes: Sequence[Strike], reaction: Reaction) -> None:
        self.world = world
        self.scenario = scenario
        self.strikes = strikes
        self.reaction = reaction
        self.promises = Promises()
        self.before = Holdings({}, frozenset())
        self.outcome = Ending(Counting())
        self.called = False
        self.final = False
        self.rested = False

    async def through(self) -> Ending:
        for slot in ("backup", "vaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaa"):
            self.world.machine.put_stranger(slot)
        for _ in range(MOST_LIVES):
            if self.rested:
                return self.outcome
            with trio.fail_after(10 * PATIENCE), _ended_by_a_bug():
                async with self.world.process(ready=not self.called) as process:
                    await self._live(process)
        self.outcome.wrong.append(f"not at rest after {MOST_LIVES} lives")
        return self.outcome

    async def _live(self, process: Process) -> None:
        if not self.called:
            await self._prepare(process)
            self.called = True
            self.final = await self._call(process)
        await self._react(process)
        self.outcome.counting = self.world.strikes.counting
        self.outcome.not_struck = self.world.strikes.left
        self.world.strikes.disarm()
        await trio.sleep(SETTLED_AFTER)
        self.outcome.wrong += await violations(self.world.machine, process.journal, self.promises, self.before)
        self.rested = True

    async def _prepare(self, process: Process) -> None:
        for step in self.scenario.before:
            await settle(lambda step=step: step(process.controller, self.promises))  # type: ignore[misc]
        await trio.sleep(10 * FLUSH)
        self.scenario.meddle(self.world)
        self.before = holdings(self.world.machine)
        self.world.strikes.arm(self.strikes)

    async def _call(self, process: Process) -> bool:
        try:
            await self.scenario.call(process.controller, self.promises)
        except (NotFinal, Bug):
            return False
        except DriverError:
            self.promises.sure(VOLUME_ID)
        self.outcome.wrong += [
            f"a final answer with an open operation: {one.kind}" for one in await process.journal.open_operations()
        ]
        self.outcome.wrong += await half_made(self.world.machine, process.journal)
        return True

    async def _react(self, process: Process) -> None:
        if not self.final and self.reaction is Reaction.GIVES_UP:
            self.promises.doubt(VOLUME_ID)
            return
        gone = not self.final and self.reaction is Reaction.DELETES
        call = remove if gone else self.scenario.call
        try:
            await settle(partial(_asked, call, process, self.promises), patience=PATIENCE)
        except DriverError:
            self.promises.sure(VOLUME_ID)
        except trio.TooSlowError:
            self.outcome.wrong.append(f"no final answer within {PATIENCE:g} s")


@contextmanager
def _ended_by_a_bug() -> Iterator[None]:
    """A bug in the background ends the process, as it does in earnest; the next life follows."""
    try:
        yield
    except* Bug:
        pass


async def _asked(call: Step, process: Process, promises: Promises) -> None:
    """A bug of the second strike is a maybe to whoever asks, as the edge makes it ABORTED."""
    try:
        await call(process.controller, promises)
    except Bug as error:
        raise OperationPending(str(error)) from error
