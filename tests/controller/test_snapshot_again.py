"""CreateSnapshot asked again: resumed after a lost reply, confirmed by a look, held back when that shows trouble."""

import pytest
import trio
from snapshots_rig import leaves, snapshot_record, taken
from trio.testing import MockClock

from rdscsi.errors import NotFinal, OperationPending, Quarantined
from rdscsi.model import MIB, SnapshotRequest
from rdscsi.testing.orchestrator import settle, wish
from rdscsi.testing.world import World

SIZE = 64 * MIB


def add_by_hand(world: World, leaf: str, *, read_only: bool = True) -> None:
    """Take away the snapshot's subvolume, and make another one under its name."""
    assert world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{leaf}"]') == ""
    source = next(one for one in leaves(world.appliance) if not one.startswith("s"))
    made = f'fs=pool1 parent="rdscsi/{source}" read-only={"yes" if read_only else "no"} name="rdscsi/{leaf}"'
    assert world.appliance.run(f"/disk/btrfs/subvolume/add {made}") == ""


async def test_a_lost_reply_is_made_up_for_by_a_look(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", SIZE))
        world.faults.add("drop-after", contains="/disk/btrfs/subvolume/add", times=1)
        request = SnapshotRequest("snap-1", volume.volume_id)
        with pytest.raises(NotFinal):
            await process.controller.create_snapshot(request)
        there = leaves(world.appliance)
        snapshot = await process.controller.create_snapshot(request)
        assert leaves(world.appliance) == there
        assert snapshot.ready
        [operation] = [one for one in await process.journal.operations() if one.kind == "create-snapshot"]
        assert (operation.state, operation.attempts) == ("done", 2)


async def test_another_subvolume_under_its_name_is_not_confirmed(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        request = SnapshotRequest("snap-1", volume.volume_id)
        add_by_hand(world, (await snapshot_record(process, snapshot.snapshot_id)).leaf)
        with pytest.raises(Quarantined, match="another subvolume has taken its name"):
            await process.controller.create_snapshot(request)


async def test_one_that_can_be_written_to_is_not_confirmed(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        request = SnapshotRequest("snap-1", volume.volume_id)
        add_by_hand(world, (await snapshot_record(process, snapshot.snapshot_id)).leaf, read_only=False)
        with pytest.raises(Quarantined, match="is not read-only"):
            await process.controller.create_snapshot(request)
        await trio.sleep(2 * world.options.refresh_every)
        assert (await snapshot_record(process, snapshot.snapshot_id)).quarantine
        with pytest.raises(Quarantined):  # told at once now, without a look
            await process.controller.create_snapshot(request)


async def test_one_that_is_gone_is_not_confirmed_and_not_made_anew(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        request = SnapshotRequest("snap-1", volume.volume_id)
        leaf = (await snapshot_record(process, snapshot.snapshot_id)).leaf
        assert world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{leaf}"]') == ""
        with pytest.raises(OperationPending, match="is not on the appliance"):
            await process.controller.create_snapshot(request)
        assert leaf not in leaves(world.appliance)


async def test_while_it_is_being_deleted_its_name_waits(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        request = SnapshotRequest("snap-1", volume.volume_id)
        world.faults.add("drop-before", contains="/disk/btrfs/subvolume/remove", times=1)
        with pytest.raises(NotFinal):
            await process.controller.delete_snapshot(snapshot.snapshot_id)
        with pytest.raises(OperationPending, match="is being deleted"):
            await process.controller.create_snapshot(request)
        await settle(lambda: process.controller.delete_snapshot(snapshot.snapshot_id))
        again = await process.controller.create_snapshot(request)
        assert again.snapshot_id == snapshot.snapshot_id
