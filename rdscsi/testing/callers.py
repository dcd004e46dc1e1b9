"""The orchestrator's side of a simulation: pursues the goals of a script, and remembers what it was promised.

Goals of one volume or snapshot are pursued one after the other, those of different ones side by side, as the sidecars
do. What an answer promises is compared at once where it can be; the rest is for `invariants`.
"""

from collections.abc import Awaitable, Callable

import trio

from rdscsi import names
from rdscsi.controller.controller import Controller
from rdscsi.errors import DriverError, NotFinal, NotFound, Quarantined
from rdscsi.model import MIB, CapacityRange, Claim, ContentSource, PublishRequest, SnapshotRequest, VolumeRequest
from rdscsi.testing.invariants import Aspect, Promises
from rdscsi.testing.machines import Machine
from rdscsi.testing.orchestrator import FILESYSTEM, Cluster, wish
from rdscsi.testing.script import DROP, SNAPSHOT, SNAPSHOTS, Goal
from rdscsi.testing.world import BACKEND, CLUSTER

SIZE = 32 * MIB
QUARANTINED_SECONDS = 300.0
ANSWERED_SECONDS = 1200.0
"""Troubles are over long before; what has no answer then never gets one."""
_ABOUT = {
    "create": Aspect.EXISTS,
    "delete": Aspect.EXISTS,
    SNAPSHOT: Aspect.EXISTS,
    DROP: Aspect.EXISTS,
    "publish": Aspect.PUBLISHED,
    "unpublish": Aspect.PUBLISHED,
    "expand": Aspect.SIZE,
}


class Callers:
    """All the callers of one simulation. `alive` waits for a controller to call; `wrong` gathers what was wrong.

    `forgotten` tells of a slot whether nobody can know any more what was promised: a power loss took it back, and the
    journal is another one.
    """

    def __init__(self, machine: Machine, cluster: Cluster, alive: Callable[[], Awaitable[Controller]]) -> None:
        self.promises = Promises()
        self.calls = 0
        self.wrong: list[str] = []
        self.forgotten: Callable[[str], bool] = lambda slot: False
        self._machine = machine
        self._cluster = cluster
        self._alive = alive
        self._holders: dict[str, set[str]] = {}
        cluster.volumes = self.promises.exists

    async def pursue(self, goals: list[Goal]) -> None:
        """Pursue the goals of one volume or snapshot."""
        for goal in goals:
            await trio.sleep_until(goal.at)
            if self._wanted(goal):
                await self._reach(goal)

    def _wanted(self, goal: Goal) -> bool:
        """Tell whether an orchestrator would ask for this: only for what it has, and of what it has."""
        there = self.promises.exists.keys() | self.promises.snapshots.keys()
        if goal.source and object_id(goal.source) not in there:
            return False
        return goal.verb in ("create", SNAPSHOT) or object_id(goal.volume) in there

    async def _reach(self, goal: Goal) -> None:
        """Call until the answer is final or patience is over."""
        subject = object_id(goal.volume)
        unknown = self.promises.doubtful(subject, _ABOUT[goal.verb])
        self.promises.doubt(subject, _ABOUT[goal.verb])
        if goal.verb == "create":
            self._cluster.claims.add(subject)
        refused = await self._call_until_final(goal, subject)
        if refused and not unknown:
            self.promises.sure(subject, _ABOUT[goal.verb])  # else it is as open as it was before
        self._cluster.claims.discard(subject)

    async def _call_until_final(self, goal: Goal, subject: str) -> bool:
        """Call again and again, though not for ever about what only a person can judge: `invariants` do that.

        Tell whether it was refused: a final error says that nothing was done.
        """
        pause, began = 0.5, trio.current_time()
        for _ in range(goal.patience):
            controller = await self._alive()
            try:
                self.calls += 1
                await self._call(goal, controller, subject)
            except NotFinal as error:
                waited = trio.current_time() - began
                if isinstance(error, Quarantined) and waited > QUARANTINED_SECONDS:
                    return False
                if waited > ANSWERED_SECONDS:
                    self.promises.unanswered[subject] = f"{goal}: no final answer within {waited:.0f} s: {error}"
                    return False
                await trio.sleep(pause)
                pause = min(2 * pause, 20.0)
                continue
            except DriverError as error:
                self._never_missed(goal, error)
                return True
            self.promises.sure(subject, _ABOUT[goal.verb])
            return False
        return False

    def _never_missed(self, goal: Goal, error: DriverError) -> None:
        """What was promised is never not found."""
        missed = goal.source if goal.verb in ("create", SNAPSHOT) else goal.volume
        if not isinstance(error, NotFound) or not missed or self.forgotten(_slot(object_id(missed))):
            return
        if self.promises.holds(object_id(missed)):
            self.wrong.append(f"{goal}: what was acknowledged is not found: {error}")

    async def _call(self, goal: Goal, controller: Controller, subject: str) -> None:
        promises = self.promises
        if goal.verb == "create":
            await self._create(goal, controller)
        elif goal.verb == "delete":
            await controller.delete_volume(subject)
            promises.deleted(subject)
        elif goal.verb == "publish":
            node_id = names.node_id(goal.node)
            context = await controller.publish_volume(PublishRequest(subject, node_id, FILESYSTEM))
            promises.published[subject] = (node_id,)
            self._let_in(node_id, context["subnqn"])
        elif goal.verb == "unpublish":
            await controller.unpublish_volume(subject, "")
            promises.published[subject] = ()
        elif goal.verb == "expand":
            await self._expand(goal, controller, subject)
        elif goal.verb == SNAPSHOT:
            await self._snapshot(goal, controller, subject)
        else:
            await controller.delete_snapshot(subject)
            promises.dropped(subject)

    async def _create(self, goal: Goal, controller: Controller) -> None:
        made = await controller.create_volume(_request(goal))
        if made.capacity_bytes < SIZE:
            self.wrong.append(f"{goal}: made with {made.capacity_bytes} bytes")
        if goal.source:
            self._compare_origin(goal, made.volume_id)
        self.promises.made(made)

    async def _expand(self, goal: Goal, controller: Controller, subject: str) -> None:
        grown = await controller.expand_volume(subject, CapacityRange(SIZE + goal.size), None)
        if grown.capacity_bytes < SIZE + goal.size:
            self.wrong.append(f"{goal}: grown to {grown.capacity_bytes} bytes")
        self.promises.exists[subject] = grown.capacity_bytes

    async def _snapshot(self, goal: Goal, controller: Controller, subject: str) -> None:
        taken = await controller.create_snapshot(SnapshotRequest(goal.volume, object_id(goal.source)))
        if taken.source_volume_id != object_id(goal.source):
            self.wrong.append(f"{goal}: it is told to be of {taken.source_volume_id}")
        self._compare_origin(goal, subject)
        self.promises.taken(taken)

    def _compare_origin(self, goal: Goal, subject: str) -> None:
        """What is told to be a copy is one of what it should be, unless a power loss took it while it was told."""
        slot, source = _slot(subject), _slot(object_id(goal.source))
        origins = [origin for leaf, origin in self._machine.origins().items() if leaf.startswith(f"{slot}.")]
        if origins and not any(origin.startswith(f"{source}.") for origin in origins):
            self.wrong.append(f"{goal}: the appliance shows {origins} as what it was copied from")

    def _let_in(self, node_id: str, subnqn: str) -> None:
        """Never two nodes under one NQN; a repeated publish gives the same."""
        holders = self._holders.setdefault(subnqn, set())
        holders.add(node_id)
        if len(holders) > 1:
            self.wrong.append(f"{subnqn} was given to {sorted(holders)}")


def _request(goal: Goal) -> VolumeRequest:
    asked = wish(goal.volume, SIZE, claim=Claim("default", goal.volume))
    if not goal.source:
        return asked
    source_id = object_id(goal.source)
    source = ContentSource(snapshot_id=source_id) if goal.source in SNAPSHOTS else ContentSource(volume_id=source_id)
    return VolumeRequest(asked.name, asked.capacity_range, asked.capabilities, source=source, claim=asked.claim)


def object_id(name: str) -> str:
    """Return the id of a volume or snapshot of a script."""
    kind = names.KIND_SNAPSHOT if name in SNAPSHOTS else names.KIND_VOLUME
    return names.volume_id(BACKEND, names.slot(kind, CLUSTER, name))


def _slot(an_id: str) -> str:
    return an_id.partition("/")[2]
