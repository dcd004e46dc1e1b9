"""Where drills are run: on an embedded simulated RDS in virtual time. `staging` does it on an appliance.

A stage makes a world, tells how long things take in it, and which cases it cannot have.
"""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import trio
import trio.testing

from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.testing.world import OPTIONS, World, in_memory, open_world

WAY_SECONDS = 0.1

Body = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a rehearsal waits, in seconds.

    `flushed`: until what was done before the call cannot be lost any more. `noticed`: until the controller has come by
    itself upon what befell the appliance. `landed`: until no line can be out. `settled`: until it has looked through
    the appliance twice. `patience`: for a final answer.
    """

    flushed: float
    noticed: float
    landed: float
    settled: float
    patience: float


class Stage(Protocol):
    """A place for rehearsals. `simulated`: with statements to strike at and power to cut."""

    simulated: bool
    pace: Pace

    def run(self, body: Body) -> None:
        """Run the body in a new world; what it leaves is cleared away."""
        ...

    async def look(self, world: World) -> None:
        """Have the world's machine show what is there now."""
        ...


class SimulatedStage:
    """An embedded simulated RDS, with disks of strangers; a new one for each rehearsal."""

    simulated = True
    flush_seconds = 5.0
    pace = Pace(flushed=50.0, noticed=400.0, landed=60.0, settled=700.0, patience=1200.0)

    def run(self, body: Body) -> None:
        """See `Stage.run`."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        with tempfile.TemporaryDirectory(prefix="rdscsi-drill-", dir=in_memory()) as directory:
            trio.run(self._run, body, Path(directory), clock=clock)

    async def look(self, world: World) -> None:
        """See `Stage.look`: the simulated machine shows itself."""
        await trio.lowlevel.checkpoint()

    async def _run(self, body: Body, directory: Path) -> None:
        flush = self.flush_seconds
        behaviour = Behaviour(config_flush_delay=flush, pool_flush_delay=flush)
        appliance = ApplianceOptions(pool=PoolOptions(size=1 << 40), initial_uptime=3600.0, behaviour=behaviour)
        options = replace(OPTIONS, flush_delay=flush, abandon_after=300.0, refresh_every=300.0)
        async with open_world(directory, appliance=appliance, options=options, delay=lambda _: WAY_SECONDS) as world:
            world.machine.put_stranger("backup")
            world.machine.put_stranger("vaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaa")
            await body(world)
