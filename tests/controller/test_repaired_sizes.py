"""An item is gone whose file an expansion had grown meanwhile: the volume is told as large as it is."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotFinal
from rdscsi.model import MIB, CapacityRange, SnapshotRequest, Volume
from rdscsi.tags import parse_tag
from rdscsi.testing.orchestrator import settle, wish
from rdscsi.testing.world import Process, World

SMALL, LARGE = 64 * MIB, 96 * MIB


async def grown_and_gone(world: World, process: Process) -> Volume:
    """The expansion's answer is lost; then somebody removes the item."""
    volume = await process.controller.create_volume(wish("pvc-1", SMALL))
    world.faults.add("drop-after", contains="file-size=", times=1)
    with pytest.raises(NotFinal):
        await process.controller.expand_volume(volume.volume_id, CapacityRange(LARGE), None)
    world.machine.remove_by_hand(slot(volume))
    return volume


def slot(volume: Volume) -> str:
    return volume.volume_id.partition("/")[2]


async def repaired(process: Process) -> None:
    with trio.fail_after(600):
        while not [one for one in await process.journal.operations(state="done") if one.kind == "restore"]:
            await trio.sleep(1)


async def test_its_tag_and_its_record_tell_the_size_that_it_has(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await grown_and_gone(world, process)
        await repaired(process)
        item = world.machine.items()[slot(volume)]
        tag, record = parse_tag(item.comment), await process.journal.volume(volume.volume_id)
        assert tag is not None
        assert record is not None
        assert (item.size, tag.size_bytes, record.capacity_bytes) == (LARGE, LARGE, LARGE)
        grown = await process.controller.expand_volume(volume.volume_id, CapacityRange(LARGE), None)
        assert grown.capacity_bytes == LARGE


async def test_a_snapshot_and_an_expansion_do_not_wait_for_each_other(world: World, autojump_clock: MockClock) -> None:
    """Found by a seed: the expansion waited for the snapshot that was begun, and that for the size it would have."""
    async with world.process() as process, trio.open_nursery() as nursery:
        volume = await process.controller.create_volume(wish("pvc-1", SMALL))
        world.faults.add("stall-after", contains="file-size=", times=1)
        larger, copy = CapacityRange(LARGE), SnapshotRequest("snap-1", volume.volume_id)
        growing = partial(settle, lambda: process.controller.expand_volume(volume.volume_id, larger, None))
        nursery.start_soon(growing)
        await trio.sleep(1)
        with pytest.raises(NotFinal):
            await process.controller.create_snapshot(copy)
        world.machine.remove_by_hand(slot(volume))
        await repaired(process)
        snapshot = await settle(lambda: process.controller.create_snapshot(copy))
        assert snapshot.size_bytes == LARGE
