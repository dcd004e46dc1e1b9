"""Runs one script in a world of virtual time and says what was wrong, while it went on and after it had settled.

Deterministic: the same script gives the same run, to the order of tasks. Nothing here decides what happens; that is in
`script`.
"""

import itertools
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
import trio.testing

from rdscsi import names
from rdscsi.controller.controller import Controller
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.tags import FORMAT
from rdscsi.testing.callers import Callers, object_id
from rdscsi.testing.duet import Duet
from rdscsi.testing.invariants import Holdings, Memory, holdings, violations
from rdscsi.testing.orchestrator import Cluster
from rdscsi.testing.script import OLD_JOURNAL, Goal, Script, Trouble
from rdscsi.testing.troubles import MachineTroubles
from rdscsi.testing.world import BACKEND, OPTIONS, World, in_memory, open_world

REFRESH_SECONDS = 60.0
SETTLE_SECONDS = 180.0
"""More than what the driver waits for at the longest: a caller who does not come back (100 s), and two inventories."""
LONGEST_SECONDS = 50_000.0


@dataclass(slots=True)
class Result:
    """What came of a script. `wrong` holds a sentence for each violated invariant."""

    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    lines: int = 0
    lives: int = 0
    reboots: int = 0
    unclaimed: int = 0
    faults: int = 0
    seconds: float = 0.0


def simulate(script: Script, *, fast: bool = True) -> Result:
    """Run a script. `fast`: on the model of the appliance; otherwise on the simulated RDS itself."""
    seed_scheduler(script.seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-simulation-", dir=in_memory()) as directory:
        return trio.run(_simulate, script, Path(directory), fast, clock=clock)


def seed_scheduler(seed: int) -> None:
    """Have Trio choose among tasks that are ready together by this seed (its own tests and Hypothesis do the same)."""
    scheduler: Any = trio._core._run  # no public name leads there
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)


async def _simulate(script: Script, directory: Path, fast: bool) -> Result:
    async with open_simulated(script, directory, fast=fast) as (world, cluster):
        with trio.move_on_after(LONGEST_SECONDS):
            if script.leases is not None:
                return await _duet(world, script, cluster)
            return await Simulation(world, script, cluster).run()
        return Result([f"not over after {LONGEST_SECONDS:g} virtual seconds"])


@asynccontextmanager
async def open_simulated(script: Script, directory: Path, *, fast: bool) -> AsyncIterator[tuple[World, Cluster]]:
    """Make the world of a script, and the cluster that asks for volumes in it."""
    behaviour = Behaviour(config_flush_delay=script.flush_delay, pool_flush_delay=script.flush_delay)
    appliance = ApplianceOptions(pool=PoolOptions(size=1 << 40), initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=script.flush_delay, abandon_after=100.0, refresh_every=REFRESH_SECONDS)
    cluster = Cluster(dice=random.Random(f"cluster {script.seed}"))  # noqa: S311 - repeatable on purpose
    asked = cluster if script.seed % 2 else None
    settings: dict[str, Any] = {"appliance": appliance, "options": options, "fast": fast, "seed": script.seed}
    settings |= {"claims": asked, "delay": lambda rng: rng.uniform(0.5, 1.5) * script.delay}
    async with open_world(directory, **settings) as world:
        yield world, cluster


async def _duet(world: World, script: Script, cluster: Cluster) -> Result:
    duet = Duet(world, script, cluster)
    wrong = await duet.run()
    return Result(
        wrong,
        calls=duet.callers.calls,
        lines=world.machine.lines,
        lives=sum(pod.lives for pod in duet.pods),
        reboots=duet.troubles.reboots,
        faults=duet.faults,
        seconds=trio.current_time(),
    )


class Simulation:
    """One run of a script with one controller; or, without a script's events, of what comes to somebody's mind."""

    def __init__(self, world: World, script: Script, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = world
        self.script = script
        self.result = Result()
        self.callers = Callers(world.machine, cluster, self._alive)
        self.before = Holdings({}, frozenset())
        self._controller: Controller | None = None
        self._settled: Callable[[], Awaitable[list[str]]] | None = None
        self._came = trio.Event()
        self._down_for = 0.0
        self._copies = itertools.count(1)
        self._lost = 0
        self._removed: set[str] = set()
        self._journal: Path | None = None
        kinds = {one.kind for one in script.events if isinstance(one, Trouble)}
        self._memory = Memory.LOST if "journal lost" in kinds else Memory.WHOLE
        if OLD_JOURNAL in kinds:
            self._memory = Memory.OLD_AND_REBOOTED if "reboot" in kinds else Memory.OLD
        self._troubles = MachineTroubles(world)
        self.callers.forgotten = self._forgotten

    async def run(self) -> Result:
        """Do what the script says, let the world settle, and tell what came of it."""
        async with self.living():
            async with trio.open_nursery() as acting:
                goals = [event for event in self.script.events if isinstance(event, Goal)]
                for volume in sorted({goal.volume for goal in goals}):
                    acting.start_soon(self.callers.pursue, [goal for goal in goals if goal.volume == volume])
                for event in self.script.events:
                    if isinstance(event, Trouble):
                        acting.start_soon(self.make, event)
            return await self.settle()

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Let one process of the controller follow the other while the body runs."""
        self.world.machine.put_stranger("backup")
        self.world.machine.persist()
        self.before = holdings(self.world.machine)
        self.world.machine.watch_changes(self._troubles.before_change)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_alive)
            yield
            nursery.cancel_scope.cancel()

    async def settle(self) -> Result:
        """End all trouble, wait until the world must have come right, and tell what was wrong."""
        await self._let_settle()
        self.result.calls = self.callers.calls
        self.result.wrong += self.callers.wrong
        self.result.reboots = self._troubles.reboots
        self.result.seconds = trio.current_time()
        self.result.unclaimed = self.cluster.unclaimed
        self.result.lines = self.world.machine.lines
        return self.result

    # --- the process

    async def _keep_alive(self) -> None:
        """One life after the other."""
        while True:
            self.result.lives += 1
            async with self.world.process(self._journal, ready=False) as process:
                self._controller = process.controller
                self._settled = lambda process=process: violations(
                    self.world.machine,
                    process.journal,
                    self.callers.promises,
                    self.before,
                    memory=self._memory,
                    lost=self._troubles.taken_back,
                    removed=self._removed,
                )
                self._came.set()
                await trio.sleep_forever()
            self._gone()
            await trio.sleep(self._down_for)

    def _gone(self) -> None:
        """Nobody can be called any more, from the moment at which the process begins to end."""
        if self._controller is not None:
            self._controller, self._came = None, trio.Event()

    async def _alive(self) -> Controller:
        while self._controller is None:
            await self._came.wait()
        return self._controller

    def _forgotten(self, slot: str) -> bool:
        """Tell whether nobody can know any more what became of a volume, by an old journal or none."""
        return self._memory is not Memory.WHOLE and slot in self._troubles.forgotten | self._removed

    # --- what goes wrong

    async def make(self, trouble: Trouble) -> None:
        """Let something go wrong at its time."""
        await trio.sleep_until(trouble.at)
        self.result.faults += 1
        world = self.world
        slot = object_id(trouble.volume).partition("/")[2]
        if self._troubles.make(trouble):
            return
        if trouble.kind in ("crash", "stop"):
            self._down_for = trouble.seconds
            (world.crash if trouble.kind == "crash" else world.stop)()
            self._gone()
        elif trouble.kind == "away":
            world.link.up = False
            await trio.sleep(trouble.seconds)
            world.link.up = True
        elif trouble.kind == "journal lost":
            self._lost += 1
            self._down_for = trouble.seconds
            world.crash()
            self._gone()
            world.journal_path.unlink(missing_ok=True)
            world.journal_path.with_name(world.journal_path.name + "-wal").unlink(missing_ok=True)
        elif trouble.kind == OLD_JOURNAL:
            await self._put_back(trouble.seconds)
        elif slot in world.machine.items():
            self._meddle(trouble, slot)

    async def _put_back(self, seconds: float) -> None:
        """Copy the journal, and some time later let the process die and the next one find the copy."""
        world = self.world
        await self._alive()
        copy, lost = world.copied_journal(f"old-{next(self._copies)}"), self._lost
        await trio.sleep(seconds)
        if self._lost != lost:
            return  # another journal leads since: this one would stand by until a person comes
        world.crash()
        self._gone()
        for suffix in ("", "-wal"):
            there = world.journal_path.with_name(world.journal_path.name + suffix)
            there.unlink(missing_ok=True)
            kept = copy.with_name(copy.name + suffix)
            if kept.exists():
                kept.rename(there)

    def _meddle(self, trouble: Trouble, slot: str) -> None:
        item = self.world.machine.items()[slot]
        if FORMAT not in item.comment:
            return
        if trouble.kind == "export flipped":
            self.world.machine.set_by_hand(slot, export=not item.export)
        elif trouble.kind == "item removed":
            self.world.machine.remove_by_hand(slot)
            self._removed.add(slot)

    # --- the end

    def end_troubles(self) -> None:
        """Nothing more goes wrong."""
        self._troubles.end()
        self.world.link.up = True
        self._down_for = 0.0

    async def _let_settle(self) -> None:
        self.end_troubles()
        await trio.sleep_until(max(self.script.length, trio.current_time()) + SETTLE_SECONDS)
        for _ in range(3):
            await self._alive()
            assert self._settled is not None
            for slot in filter(self._forgotten, self._troubles.forgotten | self._removed):
                self.callers.promises.doubt(names.volume_id(BACKEND, slot))
            wrong = await self._settled()
            if not wrong:
                return
            await trio.sleep(SETTLE_SECONDS)
        self.result.wrong += wrong
