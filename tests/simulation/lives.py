"""Lives of a volume whose every step is compared with a law that no invariant of a settled world can see."""

import itertools
import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import trio
import trio.testing

from rdscsi import names
from rdscsi.errors import NotFinal, NotPermittedNow
from rdscsi.model import Claim, VolumeCapability
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.faults import Fault
from rdscsi.testing.orchestrator import BLOCK, FILESYSTEM, NODE_A, NODE_B, Cluster, attach, settle, wish
from rdscsi.testing.schedules import FLUSH
from rdscsi.testing.world import OPTIONS, Process, World, in_memory, open_world

Living = Callable[[World, Process], Awaitable[list[str]]]
Lives = Callable[[World], Awaitable[list[str]]]


async def _made(process: Process) -> str:
    return (await settle(lambda: process.controller.create_volume(wish("pvc-1")))).volume_id


async def _publish(
    process: Process, volume_id: str, node: str = NODE_A, capability: VolumeCapability = FILESYSTEM
) -> Mapping[str, str]:
    return await settle(lambda: process.controller.publish_volume(attach(volume_id, node, capability)))


async def _unpublish(process: Process, volume_id: str) -> None:
    await settle(lambda: process.controller.unpublish_volume(volume_id, ""))


async def no_permit_after_data(world: World, process: Process) -> list[str]:
    """Law 6: whoever had the raw device may have written anything."""
    volume_id = await _made(process)
    first = await _publish(process, volume_id)
    await _unpublish(process, volume_id)
    await _publish(process, volume_id, capability=BLOCK)
    await _unpublish(process, volume_id)
    last = await _publish(process, volume_id)
    wrong = [] if first.get("formatPermit") else ["the blank volume came without a permit"]
    return wrong + (["a permit to format was given after a raw publication"] if last.get("formatPermit") else [])


async def same_context_while_in(world: World, process: Process) -> list[str]:
    """Law 8: publish repeated for a node in the set returns the same publish_context."""
    volume_id = await _made(process)
    contexts = [await _publish(process, volume_id) for _ in range(2)]
    return [] if contexts[0] == contexts[1] else [f"publish again gave another context: {contexts}"]


async def another_name_for_the_next(world: World, process: Process) -> list[str]:
    """Law 8: nobody comes in under the name that an earlier one knows."""
    volume_id = await _made(process)
    first = await _publish(process, volume_id)
    await _unpublish(process, volume_id)
    second = await _publish(process, volume_id, NODE_B)
    return [] if first["subnqn"] != second["subnqn"] else ["two nodes were given one NQN"]


async def never_two_after_a_power_loss(world: World, process: Process) -> list[str]:
    """Law 8: when the next node is in, no power loss brings the last one's export back."""
    volume_id = await _made(process)
    first = await _publish(process, volume_id)
    await trio.sleep(10 * FLUSH)
    await _unpublish(process, volume_id)
    await _publish(process, volume_id, NODE_B)
    world.machine.reboot()
    back = [item.nqn for item in world.machine.items().values() if item.export]
    return ["the node that was cut off reaches the volume again"] if first["subnqn"] in back else []


async def not_deleted_while_published(world: World, process: Process) -> list[str]:
    """A published volume is in use; delete is refused for good."""
    volume_id = await _made(process)
    await _publish(process, volume_id)
    try:
        await settle(lambda: process.controller.delete_volume(volume_id))
    except NotPermittedNow:
        return []
    return ["a published volume was deleted"]


async def confirmed_by_a_look(world: World, process: Process) -> list[str]:
    """Law 7: what a create says is there is there."""
    volume_id = await _made(process)
    world.machine.remove_by_hand(volume_id.partition("/")[2])
    try:
        await process.controller.create_volume(wish("pvc-1"))
    except NotFinal:
        return []
    return ["create confirmed a volume whose item is gone"]


def _of_one(life: Living) -> Lives:
    async def lived(world: World) -> list[str]:
        wrong: list[str] = []
        async with world.process() as process:
            wrong += await life(world, process)
        return wrong

    return lived


async def _given_up(process: Process, volume_id: str) -> None:
    await settle(lambda: process.controller.delete_volume(volume_id))


def _back(world: World, volume_id: str) -> list[str]:
    there = volume_id.partition("/")[2] in world.machine.items()
    return ["a volume that was acknowledged as deleted is back"] if there else []


def _late(seconds: float) -> Lives:
    """Law 4: the create line lands when its volume was deleted already, in the same process."""

    async def lived(world: World) -> list[str]:
        wrong: list[str] = []
        async with world.process() as process:
            world.faults.add(Fault("late", seconds=seconds), times=1)
            with suppress(NotFinal):
                await process.controller.create_volume(wish("pvc-1"))
            volume_id = process.controller.backend.volume_id(process.controller.backend.slot("pvc-1"))
            await _given_up(process, volume_id)
            await trio.sleep_until(max(trio.current_time(), seconds) + 5.0)
            wrong += _back(world, volume_id)
        return wrong

    return lived


async def a_dead_process_changes_nothing(world: World) -> list[str]:
    """Laws 4 and 8: the create line of a dead process lands after the next one has deleted its volume."""
    wrong: list[str] = []
    async with world.process() as process:
        world.faults.add(Fault("late", seconds=25.0), times=1)
        with suppress(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        world.crash()
    async with world.process() as process:
        volume_id = process.controller.backend.volume_id(process.controller.backend.slot("pvc-1"))
        await _given_up(process, volume_id)
        await trio.sleep_until(max(trio.current_time(), 30.0))
        wrong += _back(world, volume_id)
    return wrong


async def rebuilt_from_the_tags(world: World) -> list[str]:
    """Law 5: without its journal the controller knows its volumes by their tags."""
    wrong: list[str] = []
    async with world.process() as process:
        volume_id = await _made(process)
        world.crash()
        for suffix in ("", "-wal"):
            world.journal_path.with_name(world.journal_path.name + suffix).unlink(missing_ok=True)
    async with world.process() as process:
        if await process.journal.volume(volume_id) is None:
            wrong += ["a volume is on the appliance without a record"]
    return wrong


async def an_export_by_hand_is_taken_back(world: World, process: Process) -> list[str]:
    """Law 8: a volume is exported only while published."""
    slot = (await _made(process)).partition("/")[2]
    world.machine.set_by_hand(slot, export=True)
    await trio.sleep(60.0)
    return ["exported, and published to nobody"] if world.machine.items()[slot].export else []


async def deleted_stays_deleted(world: World, process: Process) -> list[str]:
    """Law 13: what a power loss brings back under a tombstone is erased."""
    volume_id = await _made(process)
    await trio.sleep(10 * FLUSH)
    await settle(lambda: process.controller.delete_volume(volume_id))
    world.machine.reboot()
    await trio.sleep(120.0)
    return _back(world, volume_id)


async def an_old_tag_put_back(world: World, process: Process) -> list[str]:
    """Law 7: whoever is told that a node is let in can rely on it, though an operator restores an old comment."""
    volume_id = await _made(process)
    await _publish(process, volume_id)
    await _unpublish(process, volume_id)
    slot = volume_id.partition("/")[2]
    old, changed = world.machine.items()[slot].comment, itertools.count(1)

    def put_back() -> None:
        if next(changed) == 2:
            world.machine.set_by_hand(slot, comment=old)

    world.machine.watch_changes(put_back)
    context = await _publish(process, volume_id)
    item = world.machine.items()[slot]
    there = item.export and item.nqn == context["subnqn"]
    return [] if there else [f"the node was told to be let in, and the export is {item.export} as {item.nqn!r}"]


async def restored_before_the_next_inventory_is_due(world: World) -> list[str]:
    """Law 13: as soon as a line shows that the uptime fell, all is looked through, and what was lost made again."""
    world.options = replace(world.options, refresh_every=24 * 3600.0)
    wrong: list[str] = []
    async with world.process() as process:
        volume_id = await _made(process)
        await trio.sleep(10 * FLUSH)
        await _publish(process, volume_id)
        world.machine.reboot()
        await settle(lambda: process.controller.create_volume(wish("pvc-2")))
        await trio.sleep(60.0)
        if not world.machine.items()[volume_id.partition("/")[2]].export:
            wrong += ["a published volume is not served any more since the appliance lost its power"]
    return wrong


async def left_alone_and_unclaimed(world: World) -> list[str]:
    """Law 5 and docs/adr/0006: nobody was told of the volume, so that nobody has it, and nobody claims it."""
    world.claims = Cluster(dice=random.Random(1), away=0.0)
    world.delay = lambda _: 1.0
    async with world.process() as process:
        with trio.move_on_after(0.5):
            await process.controller.create_volume(wish("pvc-1", claim=Claim("default", "data")))
        await trio.sleep(world.options.abandon_after + 120)
    left = [slot for slot in world.machine.items() if slot.startswith(names.KIND_VOLUME)]
    return [f"{left}: nobody was told of it, nobody claims it, and it stays"] if left else []


LIVES: Mapping[str, Lives] = {
    "late by 5 s": _late(5.0),
    "late by 200 s": _late(200.0),
    "a dead process changes nothing": a_dead_process_changes_nothing,
    "left alone and unclaimed": left_alone_and_unclaimed,
    "rebuilt from the tags": rebuilt_from_the_tags,
    "restored before the next inventory is due": restored_before_the_next_inventory_is_due,
} | {
    life.__name__.replace("_", " "): _of_one(life)
    for life in (
        deleted_stays_deleted,
        an_export_by_hand_is_taken_back,
        no_permit_after_data,
        same_context_while_in,
        another_name_for_the_next,
        never_two_after_a_power_loss,
        not_deleted_while_published,
        confirmed_by_a_look,
        an_old_tag_put_back,
    )
}


def run_life(name: str) -> list[str]:
    """Run a life in a world of its own, in virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-world-", dir=in_memory()) as directory:
        return trio.run(_run, LIVES[name], Path(directory), clock=clock)


async def _run(life: Lives, directory: Path) -> list[str]:
    behaviour = Behaviour(config_flush_delay=FLUSH, pool_flush_delay=FLUSH)
    appliance = ApplianceOptions(pool=PoolOptions(size=1 << 40), initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=FLUSH, refresh_every=30.0)
    async with open_world(directory, appliance=appliance, options=options, fast=True) as world:
        return await life(world)
