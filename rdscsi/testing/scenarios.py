"""The calls whose every effect is struck: what is there before, the call itself, and what its answer promises."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from rdscsi import names
from rdscsi.controller.controller import Controller
from rdscsi.model import GIB, MIB, CapacityRange, ContentSource, SnapshotRequest, Volume
from rdscsi.testing.invariants import Aspect, Promises
from rdscsi.testing.orchestrator import BLOCK, FILESYSTEM, NODE_A, NODE_B, NODE_C, SHARED, attach, wish
from rdscsi.testing.world import BACKEND, CLUSTER, World

COPY_ID = names.volume_id(BACKEND, names.slot(names.KIND_VOLUME, CLUSTER, "pvc-2"))
SNAPSHOT_ID = names.volume_id(BACKEND, names.slot(names.KIND_SNAPSHOT, CLUSTER, "snap-1"))
VOLUME_ID = names.volume_id(BACKEND, names.slot(names.KIND_VOLUME, CLUSTER, "pvc-1"))
SIZE = 64 * MIB

Step = Callable[[Controller, Promises], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`before` runs with nothing going wrong, `call` is struck. `meddle` is what others did to the appliance.

    `about` is the id of what the call makes, changes or deletes, and `give_up` how that is deleted.
    `quarantines`: what they did is for a person to judge, so that some calls about the volume are never answered.
    """

    before: tuple[Step, ...]
    call: Step
    meddle: Callable[[World], None] = lambda world: None
    quarantines: bool = False
    about: str = VOLUME_ID
    give_up: "Step | None" = None

    async def abandon(self, controller: Controller, promises: Promises) -> object:
        """What the orchestrator calls when it wants nothing of the call any more."""
        return await (self.give_up or remove)(controller, promises)


async def create(controller: Controller, promises: Promises) -> Volume:
    """Create the volume."""
    volume = await controller.create_volume(wish("pvc-1", SIZE))
    promises.made(volume)
    return volume


async def create_giant(controller: Controller, promises: Promises) -> None:
    """Create a volume for which there is no room; the figures that the driver has are too good."""
    controller.backend.space.saw(None)
    promises.made(await controller.create_volume(wish("pvc-1", 4096 * GIB)))


async def delete(controller: Controller, promises: Promises) -> None:
    """Delete the volume."""
    promises.doubt(VOLUME_ID, Aspect.EXISTS)
    await controller.delete_volume(VOLUME_ID)
    promises.deleted(VOLUME_ID)


async def remove(controller: Controller, promises: Promises) -> None:
    """Give the volume up: cut every node off, then delete."""
    await unpublish("")(controller, promises)
    await delete(controller, promises)


def publish(node: str = NODE_A, *, block: bool = False) -> Step:
    """Publish the volume to a node."""

    async def call(controller: Controller, promises: Promises) -> Mapping[str, str]:
        promises.doubt(VOLUME_ID, Aspect.PUBLISHED)
        context = await controller.publish_volume(attach(VOLUME_ID, node, BLOCK if block else FILESYSTEM))
        promises.published[VOLUME_ID] = (node,)
        promises.sure(VOLUME_ID, Aspect.PUBLISHED)
        return context

    return call


def share(node: str = NODE_A) -> Step:
    """Publish the volume to a node beside those that it is published to."""

    async def call(controller: Controller, promises: Promises) -> Mapping[str, str]:
        promises.doubt(VOLUME_ID, Aspect.PUBLISHED)
        context = await controller.publish_volume(attach(VOLUME_ID, node, SHARED))
        others = [one for one in promises.published.get(VOLUME_ID, ()) if one != node]
        promises.published[VOLUME_ID] = (*others, node)
        promises.sure(VOLUME_ID, Aspect.PUBLISHED)
        return context

    return call


def unpublish(node: str = NODE_A) -> Step:
    """Unpublish it from a node, or with an empty name from all."""

    async def call(controller: Controller, promises: Promises) -> None:
        promises.doubt(VOLUME_ID, Aspect.PUBLISHED)
        await controller.unpublish_volume(VOLUME_ID, node)
        left = [one for one in promises.published.get(VOLUME_ID, ()) if node and one != node]
        promises.published[VOLUME_ID] = tuple(left)
        promises.sure(VOLUME_ID, Aspect.PUBLISHED)

    return call


def expand(size: int = 2 * SIZE) -> Step:
    """Grow the volume."""

    async def call(controller: Controller, promises: Promises) -> None:
        promises.doubt(VOLUME_ID, Aspect.SIZE)
        grown = await controller.expand_volume(VOLUME_ID, CapacityRange(size), None)
        promises.exists[VOLUME_ID] = grown.capacity_bytes
        promises.sure(VOLUME_ID, Aspect.SIZE)

    return call


async def snapshot(controller: Controller, promises: Promises) -> None:
    """Take a snapshot of the volume."""
    promises.doubt(SNAPSHOT_ID, Aspect.EXISTS)
    promises.taken(await controller.create_snapshot(SnapshotRequest("snap-1", VOLUME_ID)))


async def delete_snapshot(controller: Controller, promises: Promises) -> None:
    """Delete it."""
    promises.doubt(SNAPSHOT_ID, Aspect.EXISTS)
    await controller.delete_snapshot(SNAPSHOT_ID)
    promises.dropped(SNAPSHOT_ID)


def copy(source: ContentSource, size: int = SIZE) -> Step:
    """Make a second volume out of the first, or of its snapshot."""

    async def call(controller: Controller, promises: Promises) -> None:
        made = await controller.create_volume(replace(wish("pvc-2", size), source=source))
        assert made.source == source
        promises.made(made)

    return call


async def delete_copy(controller: Controller, promises: Promises) -> None:
    """Delete the second volume."""
    promises.doubt(COPY_ID, Aspect.EXISTS)
    await controller.delete_volume(COPY_ID)
    promises.deleted(COPY_ID)


restore, clone = copy(ContentSource(SNAPSHOT_ID), 2 * SIZE), copy(ContentSource(volume_id=VOLUME_ID))


def of_snapshot(*before: Step, call: Step) -> Scenario:
    """A scenario whose call is about the snapshot."""
    return Scenario(before, call, about=SNAPSHOT_ID, give_up=delete_snapshot)


def of_copy(*before: Step, call: Step) -> Scenario:
    """A scenario whose call is about the second volume."""
    return Scenario(before, call, about=COPY_ID, give_up=delete_copy)


def take_slot(world: World) -> None:
    """A stranger's disk sits in the volume's slot."""
    slot = names.parse_volume_id(VOLUME_ID)
    assert slot is not None
    world.machine.put_stranger(slot.slot)


SCENARIOS: Mapping[str, Scenario] = {
    "create": Scenario((), create),
    "create again": Scenario((create,), create),
    "create, slot taken": Scenario((), create, take_slot, quarantines=True),
    "create after delete": Scenario((create, delete), create),
    "delete": Scenario((create,), delete),
    "delete what is gone": Scenario((create, delete), delete),
    "delete after use": Scenario((create, publish(), unpublish()), delete),
    "publish": Scenario((create,), publish()),
    "publish block": Scenario((create,), publish(block=True)),
    "publish again": Scenario((create, publish()), publish()),
    "publish elsewhere": Scenario((create, publish(), unpublish()), publish(NODE_B)),
    "publish in use": Scenario((create, publish()), publish(NODE_B)),
    "unpublish": Scenario((create, publish()), unpublish()),
    "unpublish again": Scenario((create, publish(), unpublish()), unpublish()),
    "publish beside": Scenario((create, share()), share(NODE_B)),
    "unpublish beside": Scenario((create, share(), share(NODE_B)), unpublish()),
    "publish after the dirty": Scenario((create, share(), share(NODE_B), unpublish(), unpublish("")), share(NODE_C)),
    "expand": Scenario((create,), expand()),
    "expand in use": Scenario((create, publish()), expand()),
    "expand beyond the pool": Scenario((create,), expand(4096 * GIB)),
    "snapshot": of_snapshot(create, call=snapshot),
    "snapshot of nothing": of_snapshot(create, delete, call=snapshot),
    "snapshot in use": of_snapshot(create, publish(), expand(), call=snapshot),
    "delete snapshot": of_snapshot(create, snapshot, call=delete_snapshot),
    "delete with snapshot": Scenario((create, snapshot), delete),
    "clone": of_copy(create, call=clone),
    "restore": of_copy(create, snapshot, call=restore),
    "restore without the volume": of_copy(create, snapshot, delete, call=restore),
    "restore of nothing": of_copy(create, snapshot, delete_snapshot, call=restore),
    "delete copy": of_copy(create, snapshot, restore, delete_snapshot, call=delete_copy),
}
