"""A state machine over the world of the simulations: Hypothesis thinks of calls and troubles, and cuts failures down.

The scripts of `rdscsi.testing.script` are dealt out beforehand; here each step may rest on what came of those before.
The invariants are the same: what an answer says is compared at once, the rest when the world has settled.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import trio
from guest import Guest, Job
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rdscsi.testing.script import DROP, NODES, SNAPSHOT, SNAPSHOTS, VOLUMES, Goal, Script, Trouble
from rdscsi.testing.simulation import Simulation, open_simulated, seed_scheduler
from rdscsi.testing.world import in_memory

volumes, snapshots = some.sampled_from(VOLUMES[:2]), some.sampled_from(SNAPSHOTS)
patience = some.sampled_from((1, 1000))
pauses = some.sampled_from((0.0, 0.1, 3.0, 25.0))


class Controllers(RuleBasedStateMachine):
    """One controller after the other on one appliance."""

    @initialize(
        seed=some.integers(0, 1000), flush_delay=some.sampled_from((0.0, 5.0)), delay=some.sampled_from((0.0, 0.1))
    )
    def begin(self, seed: int, flush_delay: float, delay: float) -> None:
        """An appliance with nothing on it but a stranger."""
        seed_scheduler(seed)
        self.directory = tempfile.TemporaryDirectory(prefix="rdscsi-machine-", dir=in_memory())
        self.script = Script(seed, (), flush_delay, delay, length=0.0)
        self.guest = Guest(self._live)
        self.simulation: Simulation
        self.guest.run(trio.lowlevel.checkpoint)

    async def _live(self, jobs: "trio.MemoryReceiveChannel[Job]") -> None:
        opened = open_simulated(self.script, Path(self.directory.name), fast=True)
        async with opened as (world, cluster), trio.open_nursery() as self.acting:
            self.simulation = Simulation(world, self.script, cluster)
            self.turns = defaultdict[str, trio.Lock](trio.Lock)
            async with self.simulation.living():
                async for job in jobs:
                    await job()
            self.acting.cancel_scope.cancel()

    def _do(self, act: Callable[[], object], pause: float) -> None:
        async def job() -> None:
            act()
            await trio.sleep(pause)

        self.guest.run(job)

    def _want(self, goal: Goal, pause: float) -> None:
        """Pursue a goal beside everything else, after the earlier ones of its volume."""

        async def pursue() -> None:
            async with self.turns[goal.volume]:
                await self.simulation.callers.pursue([goal])

        self._do(lambda: self.acting.start_soon(pursue), pause)

    @rule(volume=volumes, pause=pauses, patience=patience)
    def create(self, volume: str, pause: float, patience: int) -> None:
        self._want(Goal(0.0, volume, "create", patience=patience), pause)

    @rule(volume=volumes, node=some.sampled_from(NODES[:2]), pause=pauses, patience=patience)
    def publish(self, volume: str, node: str, pause: float, patience: int) -> None:
        self._want(Goal(0.0, volume, "publish", node, patience=patience), pause)

    @rule(volume=volumes, pause=pauses)
    def unpublish(self, volume: str, pause: float) -> None:
        self._want(Goal(0.0, volume, "unpublish"), pause)

    @rule(volume=volumes, megabytes=some.integers(1, 64), pause=pauses, patience=patience)
    def expand(self, volume: str, megabytes: int, pause: float, patience: int) -> None:
        self._want(Goal(0.0, volume, "expand", size=megabytes << 20, patience=patience), pause)

    @rule(volume=volumes, pause=pauses, patience=patience)
    def delete(self, volume: str, pause: float, patience: int) -> None:
        self._want(Goal(0.0, volume, "unpublish"), 0.0)
        self._want(Goal(0.0, volume, "delete", patience=patience), pause)

    @rule(snapshot=snapshots, pause=pauses, patience=patience)
    def take(self, snapshot: str, pause: float, patience: int) -> None:
        self._want(Goal(0.0, snapshot, SNAPSHOT, patience=patience, source="a"), pause)

    @rule(snapshot=snapshots, pause=pauses, patience=patience)
    def drop(self, snapshot: str, pause: float, patience: int) -> None:
        self._want(Goal(0.0, snapshot, DROP, patience=patience), pause)

    @rule(pause=pauses, patience=patience)
    def restore(self, pause: float, patience: int) -> None:
        self._want(Goal(0.0, "c", "create", patience=patience, source="s"), pause)

    @rule(pause=pauses, patience=patience)
    def clone(self, pause: float, patience: int) -> None:
        self._want(Goal(0.0, "d", "create", patience=patience, source="a"), pause)

    @rule(volume=some.sampled_from(("c", "d")), pause=pauses)
    def delete_copy(self, volume: str, pause: float) -> None:
        self._want(Goal(0.0, volume, "delete"), pause)

    @rule(
        kind=some.sampled_from(("drop-before", "drop-after", "late", "late-middle", "stall-after", "cut", "refuse")),
        statement=some.integers(1, 4),
        seconds=some.sampled_from((1.0, 9.0)),
    )
    def trouble_a_line(self, kind: str, statement: int, seconds: float) -> None:
        self._trouble(Trouble(0.0, kind, seconds, statement), 0.0)

    @rule(kind=some.sampled_from(("crash", "stop", "reboot", "away")), seconds=pauses, pause=pauses)
    def trouble_the_world(self, kind: str, seconds: float, pause: float) -> None:
        self._trouble(Trouble(0.0, kind, seconds), pause)

    def _trouble(self, trouble: Trouble, pause: float) -> None:
        self._do(lambda: self.acting.start_soon(self.simulation.make, trouble), pause)

    @rule(seconds=some.sampled_from((30.0, 120.0)))
    def wait(self, seconds: float) -> None:
        self._do(lambda: None, seconds)

    def teardown(self) -> None:
        """Whatever has happened: the callers get their answers, and the world comes right."""
        try:
            wrong = self.guest.run(self._settled)
            self.guest.close()
        finally:
            self.directory.cleanup()
        assert wrong == []

    async def _settled(self) -> list[str]:
        self.simulation.end_troubles()
        for turn in self.turns.values():
            async with turn:
                await trio.lowlevel.checkpoint()
        return (await self.simulation.settle()).wrong


TestControllers = Controllers.TestCase
TestControllers.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
