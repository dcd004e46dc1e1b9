"""Snapshots when the journal is lost, and what a power loss or a person changes behind the controller's back."""

import pytest
import trio
from snapshots_rig import leaves, restored, snapshot_record, taken
from trio.testing import MockClock

from rdscsi.errors import Quarantined
from rdscsi.model import MIB, ContentSource, SnapshotQuery, SnapshotRequest
from rdscsi.testing.world import World

SIZE = 64 * MIB


async def test_without_the_journal_snapshots_are_learned_from_their_names(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        await process.controller.delete_volume(volume.volume_id)
    async with world.process(world.directory / "new.db") as process:
        assert (await process.controller.list_snapshots(SnapshotQuery())).snapshots == (snapshot,)
        assert await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id)) == snapshot
        copy = await process.controller.create_volume(restored("pvc-2", ContentSource(snapshot.snapshot_id)))
        assert copy.capacity_bytes == SIZE
        await process.controller.delete_snapshot(snapshot.snapshot_id)


async def test_a_snapshot_that_went_by_hand_is_shown_as_not_ready_and_may_be_deleted(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        record = await snapshot_record(process, snapshot.snapshot_id)
        assert world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{record.leaf}"]') == ""
        await trio.sleep(2 * world.options.refresh_every)
        assert (await snapshot_record(process, snapshot.snapshot_id)).quarantine.startswith("lost: ")
        assert not (await process.controller.get_snapshot(snapshot.snapshot_id)).ready
        with pytest.raises(Quarantined):
            await process.controller.create_volume(restored("pvc-2", ContentSource(snapshot.snapshot_id)))
        await process.controller.delete_snapshot(snapshot.snapshot_id)
        assert await process.journal.snapshots() == []


async def test_a_snapshot_that_can_be_written_to_is_for_a_person(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        record = await snapshot_record(process, snapshot.snapshot_id)
        change = f'/disk/btrfs/subvolume/set [find where name="{record.leaf}"] read-only='
        assert world.appliance.run(change + "no") == ""
        await trio.sleep(2 * world.options.refresh_every)
        with pytest.raises(Quarantined, match="is not read-only any more"):
            await process.controller.delete_snapshot(snapshot.snapshot_id)
        assert world.appliance.run(change + "yes") == ""
        await trio.sleep(2 * world.options.refresh_every)
        await process.controller.delete_snapshot(snapshot.snapshot_id)


async def test_what_a_power_loss_brings_back_of_a_deleted_snapshot_is_erased(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        record = await snapshot_record(process, snapshot.snapshot_id)
        await process.controller.delete_snapshot(snapshot.snapshot_id)
        source = next(one for one in leaves(world.appliance))
        made = f'fs=pool1 parent="rdscsi/{source}" read-only=yes name="rdscsi/{record.leaf}"'
        assert world.appliance.run(f"/disk/btrfs/subvolume/add {made}") == ""
        await trio.sleep(2 * world.options.refresh_every)
        assert leaves(world.appliance) == [source]
        assert await process.journal.snapshots() == []
        assert await process.journal.open_operations() == []
