"""Snapshots and copies: taken, listed, restored, cloned, deleted in every order, and what refuses them."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from snapshots_rig import leaves, restored, snapshot_record
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import (
    AlreadyExists,
    CapacityOutOfRange,
    InvalidRequest,
    InvalidToken,
    NotFinal,
    NotFound,
    NotSupported,
    OutOfSpace,
)
from rdscsi.journal import changes
from rdscsi.model import (
    GIB,
    MIB,
    CapacityRange,
    ContentSource,
    Snapshot,
    SnapshotQuery,
    SnapshotRequest,
    Volume,
)
from rdscsi.simulator.faults import Fault
from rdscsi.tags import parse_tag, source_word
from rdscsi.testing.orchestrator import BLOCK, attach, settle, wish
from rdscsi.testing.world import APPLIANCE, World, open_world

SIZE = 64 * MIB


def write(world: World, volume: Volume, data: bytes) -> None:
    """Write the first bytes of a volume, behind the driver's back."""
    [disk] = [one for one in world.appliance.storage.disks if one.slot in volume.volume_id]
    path = world.appliance.storage.files.path(str(disk.setting("file-path", "")).lstrip("/"))
    with path.open("r+b") as file:
        file.write(data)


def read(world: World, volume: Volume, length: int) -> bytes:
    [disk] = [one for one in world.appliance.storage.disks if one.slot in volume.volume_id]
    return world.appliance.storage.files.path(str(disk.setting("file-path", "")).lstrip("/")).read_bytes()[:length]


async def test_a_snapshot_is_a_read_only_subvolume_and_its_name_tells_all(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", SIZE))
        snapshot = await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        assert snapshot.ready
        assert (snapshot.source_volume_id, snapshot.size_bytes) == (volume.volume_id, SIZE)
        [made] = [one for one in world.appliance.storage.subvolumes if one.snapshot]
        assert made.read_only
        assert snapshot.created_at == int(made.created)
        backing = names.parse_snapshot_backing(made.name)
        assert backing is not None
        assert snapshot.snapshot_id == names.volume_id("rds", backing.slot)
        assert backing.source.slot in volume.volume_id
        assert backing.size_bytes == SIZE


async def test_the_same_request_gets_the_same_snapshot_also_when_its_volume_is_gone(
    world: World, autojump_clock: MockClock
) -> None:
    request = SnapshotRequest("snap-1", "")
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", SIZE))
        request = replace(request, source_volume_id=volume.volume_id)
        first = await process.controller.create_snapshot(request)
        await process.controller.delete_volume(volume.volume_id)
        assert await process.controller.create_snapshot(request) == first
    async with world.process() as process:
        assert await process.controller.create_snapshot(request) == first
        other = await process.controller.create_volume(wish("pvc-2", SIZE))
        with pytest.raises(AlreadyExists, match="is a snapshot of"):
            await process.controller.create_snapshot(replace(request, source_volume_id=other.volume_id))


async def test_a_snapshot_is_taken_of_a_volume_in_use(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", SIZE))
        await process.controller.publish_volume(attach(volume))
        assert (await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))).ready


async def test_what_is_no_volume_has_no_snapshots(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        gone = names.volume_id("rds", names.slot("v", world.options.cluster_id, "never"))
        for source in ("nonsense", gone, snapshot.snapshot_id):
            with pytest.raises(NotFound):
                await controller.create_snapshot(SnapshotRequest("snap-2", source))
            with pytest.raises(NotFound):
                await controller.create_volume(restored("pvc-2", ContentSource(volume_id=source)))
            if source != snapshot.snapshot_id:
                with pytest.raises(NotFound):
                    await controller.create_volume(restored("pvc-2", ContentSource(snapshot_id=source)))
        assert await process.journal.open_operations() == []


async def test_content_of_snapshots_and_clones_is_the_sources_at_that_moment(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        write(world, volume, b"first")
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        write(world, volume, b"later")
        from_snapshot, from_volume = ContentSource(snapshot.snapshot_id), ContentSource(volume_id=volume.volume_id)
        old = await controller.create_volume(restored("pvc-2", from_snapshot))
        clone = await controller.create_volume(restored("pvc-3", from_volume, 2 * SIZE))
        second = await controller.create_volume(restored("pvc-4", ContentSource(volume_id=clone.volume_id)))
        assert (old.capacity_bytes, clone.capacity_bytes, second.capacity_bytes) == (SIZE, 2 * SIZE, 2 * SIZE)
        assert (old.source, clone.source) == (from_snapshot, from_volume)
        write(world, clone, b"other")
        assert [read(world, one, 5) for one in (volume, old, clone, second)] == [b"later", b"first", b"other", b"later"]
        for one in (volume.volume_id, clone.volume_id):
            await controller.delete_volume(one)
        await controller.delete_snapshot(snapshot.snapshot_id)
        assert [read(world, one, 5) for one in (old, second)] == [b"first", b"later"]
        assert len(leaves(world.appliance)) == 2


async def test_a_copy_asked_for_again_is_the_same_and_another_source_is_refused(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        request = restored("pvc-2", ContentSource(snapshot.snapshot_id))
        copy = await controller.create_volume(request)
        await controller.delete_snapshot(snapshot.snapshot_id)
        assert await controller.create_volume(request) == copy
        for source in (None, ContentSource(volume_id=volume.volume_id)):
            with pytest.raises(AlreadyExists, match="another content source"):
                await controller.create_volume(replace(request, source=source))
        with pytest.raises(AlreadyExists):
            await controller.create_volume(restored("pvc-1", ContentSource(volume_id=volume.volume_id)))


async def test_a_copy_never_gets_a_permit_to_format(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        copy = await controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))
        made = await process.journal.volume(copy.volume_id)
        assert made is not None
        assert made.ever_published  # so that no repair makes it again empty
        assert "formatPermit" in await controller.publish_volume(attach(volume))
        assert "formatPermit" not in await controller.publish_volume(attach(copy))
        record = await process.journal.volume(copy.volume_id)
        assert record is not None
        tag = parse_tag(record.tag)
        assert tag is not None
        assert tag.source == source_word(volume.volume_id.partition("/")[2])
        assert not tag.blank


async def test_sizes_below_the_sources_are_refused_or_raised(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        source = ContentSource(volume_id=volume.volume_id)
        with pytest.raises(CapacityOutOfRange):
            await controller.create_volume(restored("pvc-2", source, limit=SIZE - MIB))
        assert (await controller.create_volume(restored("pvc-2", source, MIB))).capacity_bytes == SIZE


async def test_a_snapshot_reserves_the_size_of_its_volume(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", 300 * GIB))
        before = (await controller.get_capacity({}, ())).available_bytes
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        assert before - (await controller.get_capacity({}, ())).available_bytes > 299 * GIB  # the other bound, before
        await controller.create_snapshot(SnapshotRequest("snap-2", volume.volume_id))
        with pytest.raises(OutOfSpace):
            await controller.create_snapshot(SnapshotRequest("snap-3", volume.volume_id))
        with pytest.raises(OutOfSpace):
            await controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))
        assert await process.journal.open_operations() == []
        await controller.delete_snapshot(snapshot.snapshot_id)
        await controller.create_snapshot(SnapshotRequest("snap-3", volume.volume_id))
    async with world.process() as process:  # counted again by the inventory
        with pytest.raises(OutOfSpace):
            await process.controller.create_snapshot(SnapshotRequest("snap-4", volume.volume_id))


async def test_a_pool_without_btrfs_serves_volumes_and_says_what_it_lacks(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    appliance = replace(APPLIANCE, pool=replace(APPLIANCE.pool, fs="ext4"))
    async with open_world(tmp_path, appliance=appliance) as world, world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        with pytest.raises(NotSupported, match="the pool 'pool1' has no Btrfs"):
            await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        with pytest.raises(InvalidRequest, match="the pool 'pool1' has no Btrfs"):
            await controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))
        assert await process.journal.open_operations() == []


async def test_pages_and_filters_show_each_snapshot_once(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volumes = [await controller.create_volume(wish(f"pvc-{number}", MIB)) for number in range(2)]
        made = [
            await controller.create_snapshot(SnapshotRequest(f"snap-{number}", volumes[number % 2].volume_id))
            for number in range(7)
        ]
        token, seen = "", list[Snapshot]()
        while True:
            page = await controller.list_snapshots(SnapshotQuery(max_entries=3, starting_token=token))
            assert len(page.snapshots) <= 3
            seen += page.snapshots
            if not (token := page.next_token):
                break
        assert sorted(seen, key=lambda one: one.snapshot_id) == sorted(made, key=lambda one: one.snapshot_id)
        of_one = await controller.list_snapshots(SnapshotQuery(source_volume_id=volumes[1].volume_id))
        assert {one.snapshot_id for one in of_one.snapshots} == {made[number].snapshot_id for number in (1, 3, 5)}
        only = await controller.list_snapshots(SnapshotQuery(snapshot_id=made[2].snapshot_id))
        assert only.snapshots == (made[2],)
        assert (await controller.list_snapshots(SnapshotQuery(snapshot_id="none"))).snapshots == ()
        assert await controller.get_snapshot(made[3].snapshot_id) == made[3]
        for token in ("nonsense", volumes[0].volume_id):
            with pytest.raises(InvalidToken):
                await controller.list_snapshots(SnapshotQuery(starting_token=token))
        with pytest.raises(NotFound):
            await controller.get_snapshot("nonsense")


async def test_ids_of_others_are_deleted_already_or_refused(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", MIB))
        for snapshot_id in ("nonsense", volume.volume_id, names.volume_id("rds", names.slot("s", "?", "x")) + "x"):
            await controller.delete_snapshot(snapshot_id)
        for backend, cluster in (("rds", "another cluster"), ("other", world.options.cluster_id)):
            with pytest.raises(InvalidRequest):
                await controller.delete_snapshot(names.volume_id(backend, names.slot("s", cluster, "x")))
        assert len(leaves(world.appliance)) == 1


async def test_a_source_stays_while_it_is_being_copied(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        for source in (ContentSource(snapshot.snapshot_id), ContentSource(volume_id=volume.volume_id)):
            name = f"pvc of {source.source_id}"
            world.faults.add(Fault("drop-after"), contains="parent=", times=1)
            with pytest.raises(NotFinal):
                await controller.create_volume(restored(name, source))
            with pytest.raises(NotFinal, match="is being copied"):
                if source.snapshot_id:
                    await controller.delete_snapshot(source.snapshot_id)
                else:
                    await controller.delete_volume(source.volume_id)
            if source.volume_id:
                with pytest.raises(NotFinal, match="is being copied"):
                    await controller.expand_volume(volume.volume_id, CapacityRange(2 * SIZE), None)
            await settle(lambda name=name, source=source: controller.create_volume(restored(name, source)))  # type: ignore[misc]
        await controller.delete_snapshot(snapshot.snapshot_id)
        await controller.delete_volume(volume.volume_id)


async def test_a_create_that_nobody_asks_for_again_is_undone_or_finished(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        for kind, there in (("drop-before", 0), ("drop-after", 1)):
            world.faults.add(Fault(kind), contains="parent=", times=1)  # type: ignore[arg-type]
            with pytest.raises(NotFinal):
                await controller.create_snapshot(SnapshotRequest(f"snap {kind}", volume.volume_id))
            await trio.sleep(world.options.abandon_after + 120)
            assert await process.journal.open_operations() == []
            assert len(await process.journal.snapshots()) == there
            assert len(leaves(world.appliance)) == 1 + there


async def test_a_copy_whose_source_went_by_hand_is_undone_before_that_is_told(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", SIZE))
        snapshot = await controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        request = restored("pvc-2", ContentSource(snapshot.snapshot_id))
        world.faults.add(Fault("drop-before"), contains="parent=", times=1)
        with pytest.raises(NotFinal):
            await controller.create_volume(request)
        record = await snapshot_record(process, snapshot.snapshot_id)
        assert world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{record.leaf}"]') == ""
        await process.journal.commit(changes.drop_snapshot(snapshot.snapshot_id, None))
        with pytest.raises(NotFound):
            await settle(lambda: controller.create_volume(request))
        assert await process.journal.open_operations() == []
        assert len(await process.journal.volumes()) == len(leaves(world.appliance)) == 1


async def test_a_copy_of_a_block_volume_can_be_published_as_block(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", SIZE))
        copy = await process.controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))
        assert await process.controller.publish_volume(attach(copy, capability=BLOCK))
