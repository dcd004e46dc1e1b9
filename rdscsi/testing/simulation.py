"""Runs one script in a world of virtual time and says what was wrong, while it went on and after it had settled.

Deterministic: the same script gives the same run, to the order of tasks. Nothing here decides what happens; that is in
`script`.
"""

import itertools
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
import trio.testing

from rdscsi import names
from rdscsi.controller.controller import Controller
from rdscsi.errors import DriverError, NotFinal, NotFound
from rdscsi.model import MIB, CapacityRange, PublishRequest
from rdscsi.simulator import ApplianceOptions, Behaviour, LineCut, PoolOptions
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.faults import Fault, Kind
from rdscsi.tags import FORMAT
from rdscsi.testing.invariants import Aspect, Holdings, Memory, Promises, holdings, violations
from rdscsi.testing.orchestrator import FILESYSTEM, wish
from rdscsi.testing.script import LENGTH, LINE_TROUBLES, OLD_JOURNAL, Goal, Script, Trouble
from rdscsi.testing.world import BACKEND, CLUSTER, OPTIONS, World, in_memory, open_world

SIZE = 32 * MIB
SETTLE_SECONDS = 300.0
LONGEST_SECONDS = 50_000.0
_ABOUT = {
    "create": Aspect.EXISTS,
    "delete": Aspect.EXISTS,
    "publish": Aspect.PUBLISHED,
    "unpublish": Aspect.PUBLISHED,
    "expand": Aspect.SIZE,
}
_SCRIPTED_FAULTS = ("cut", "refuse")


@dataclass(slots=True)
class Result:
    """What came of a script. `wrong` holds a sentence for each violated invariant."""

    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    lines: int = 0
    lives: int = 0
    reboots: int = 0
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
    behaviour = Behaviour(config_flush_delay=script.flush_delay, pool_flush_delay=script.flush_delay)
    appliance = ApplianceOptions(pool=PoolOptions(size=1 << 40), initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=script.flush_delay, abandon_after=100.0, refresh_every=30.0)
    settings: dict[str, Any] = {"appliance": appliance, "options": options, "fast": fast, "seed": script.seed}
    async with open_world(directory, delay=lambda rng: rng.uniform(0.5, 1.5) * script.delay, **settings) as world:
        with trio.move_on_after(LONGEST_SECONDS):
            return await _Simulation(world, script).run()
        return Result([f"not over after {LONGEST_SECONDS:g} virtual seconds"])


class _Simulation:
    def __init__(self, world: World, script: Script) -> None:
        self.world = world
        self.script = script
        self.result = Result()
        self.promises = Promises()
        self.contexts: dict[str, set[str]] = {}
        self.current: dict[str, str] = {}
        self.before = Holdings({}, frozenset())
        self._controller: Controller | None = None
        self._settled: Callable[[], Awaitable[list[str]]] | None = None
        self._came = trio.Event()
        self._down_for = 0.0
        self._copies = itertools.count(1)
        self._lost = 0
        self._journal: Path | None = None
        kinds = {one.kind for one in script.events if isinstance(one, Trouble)}
        self._memory = Memory.LOST if "journal lost" in kinds else Memory.WHOLE
        if OLD_JOURNAL in kinds:
            self._memory = Memory.OLD_AND_REBOOTED if "reboot" in kinds else Memory.OLD
        self._strike: Trouble | None = None
        self._statements = 0

    async def run(self) -> Result:
        self.world.machine.put_stranger("backup")
        self.world.machine.persist()
        self.before = holdings(self.world.machine)
        self.world.machine.watch_changes(self._change)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_alive)
            async with trio.open_nursery() as acting:
                goals = [event for event in self.script.events if isinstance(event, Goal)]
                for volume in sorted({goal.volume for goal in goals}):
                    acting.start_soon(self._pursue, [goal for goal in goals if goal.volume == volume])
                for event in self.script.events:
                    if isinstance(event, Trouble):
                        acting.start_soon(self._make, event)
            await self._let_settle()
            nursery.cancel_scope.cancel()
        self.result.seconds = trio.current_time()
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
                    self.world.machine, process.journal, self.promises, self.before, memory=self._memory
                )
                self._came.set()
                await trio.sleep_forever()
            self._controller, self._came = None, trio.Event()
            await trio.sleep(self._down_for)

    async def _alive(self) -> Controller:
        while self._controller is None:
            await self._came.wait()
        return self._controller

    # --- the orchestrator

    async def _pursue(self, goals: list[Goal]) -> None:
        for goal in goals:
            await trio.sleep_until(goal.at)
            await self._reach(goal)

    async def _reach(self, goal: Goal) -> None:
        """Call until the answer is final or patience is over."""
        volume_id = _volume_id(goal.volume)
        if goal.verb != "create" and volume_id not in self.promises.exists:
            return
        self.promises.doubt(volume_id, _ABOUT[goal.verb])
        pause = 0.5
        for _ in range(goal.patience):
            controller = await self._alive()
            try:
                self.result.calls += 1
                await self._call(goal, controller, volume_id)
            except NotFinal:
                await trio.sleep(pause)
                pause = min(2 * pause, 20.0)
                continue
            except DriverError as error:
                self._final(goal, error, volume_id)
            else:
                self.promises.sure(volume_id, _ABOUT[goal.verb])
            return

    def _final(self, goal: Goal, error: DriverError, volume_id: str) -> None:
        """A final error says that nothing was done; a volume that was promised is never not found."""
        promised = volume_id in self.promises.exists and not self.promises.doubtful(volume_id, Aspect.EXISTS)
        if isinstance(error, NotFound) and promised and goal.verb != "create":
            self.result.wrong.append(f"{goal}: a volume that was acknowledged is not found: {error}")
        self.promises.sure(volume_id, _ABOUT[goal.verb])

    async def _call(self, goal: Goal, controller: Controller, volume_id: str) -> None:
        promises = self.promises
        if goal.verb == "create":
            promises.made(await controller.create_volume(wish(goal.volume, SIZE)))
        elif goal.verb == "delete":
            await controller.delete_volume(volume_id)
            promises.deleted(volume_id)
            self.current.pop(volume_id, None)
        elif goal.verb == "publish":
            node_id = names.node_id(goal.node)
            context = await controller.publish_volume(PublishRequest(volume_id, node_id, FILESYSTEM))
            promises.published[volume_id] = (node_id,)
            self._let_in(volume_id, node_id, context["subnqn"])
        elif goal.verb == "unpublish":
            await controller.unpublish_volume(volume_id, "")
            promises.published[volume_id] = ()
            self.current.pop(volume_id, None)
        else:
            grown = await controller.expand_volume(volume_id, CapacityRange(SIZE + goal.size), None)
            promises.exists[volume_id] = grown.capacity_bytes

    def _let_in(self, volume_id: str, node_id: str, subnqn: str) -> None:
        """Never two nodes under one NQN; a repeated publish gives the same."""
        holders = self.contexts.setdefault(subnqn, set())
        holders.add(node_id)
        if len(holders) > 1:
            self.result.wrong.append(f"{subnqn} was given to {sorted(holders)}")
        self.current[volume_id] = subnqn

    # --- what goes wrong

    async def _make(self, trouble: Trouble) -> None:
        await trio.sleep_until(trouble.at)
        world = self.world
        slot = _volume_id(trouble.volume).partition("/")[2]
        if trouble.kind in _SCRIPTED_FAULTS:
            self._strike, self._statements = trouble, 0
        elif trouble.kind in LINE_TROUBLES:
            kind: Kind = trouble.kind  # type: ignore[assignment]
            fault = Fault(kind, seconds=trouble.seconds, mutation=trouble.statement)
            world.faults.add(fault, times=1)
        elif trouble.kind in ("crash", "stop"):
            self._down_for = trouble.seconds
            (world.crash if trouble.kind == "crash" else world.stop)()
        elif trouble.kind == "reboot":
            self.result.reboots += 1
            world.machine.reboot()
        elif trouble.kind == "away":
            world.link.up = False
            await trio.sleep(trouble.seconds)
            world.link.up = True
        elif trouble.kind == "journal lost":
            self._lost += 1
            self._down_for = trouble.seconds
            world.crash()
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

    def _change(self) -> None:
        """Called before each statement that changes something: it may be refused, or the line ends there."""
        strike = self._strike
        if strike is None:
            return
        self._statements += 1
        if self._statements < strike.statement:
            return
        self._strike = None
        if strike.kind == "cut":
            raise LineCut
        raise ConsoleError("failure: refused by the script")

    # --- the end

    async def _let_settle(self) -> None:
        self._strike = None
        self.world.faults.clear()
        self.world.link.up = True
        self._down_for = 0.0
        await trio.sleep_until(LENGTH + SETTLE_SECONDS)
        for _ in range(3):
            await self._alive()
            assert self._settled is not None
            wrong = await self._settled()
            if not wrong:
                return
            await trio.sleep(SETTLE_SECONDS)
        self.result.wrong += wrong


def _volume_id(name: str) -> str:
    return names.volume_id(BACKEND, names.slot(names.KIND_VOLUME, CLUSTER, name))
