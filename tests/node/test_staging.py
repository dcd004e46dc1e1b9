"""NodeStageVolume over a simulated machine: what it makes, verifies, refuses, and leaves alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import (
    AlreadyExists,
    CommandFailed,
    DeviceUnavailable,
    FormatRefused,
    InvalidRequest,
    NotFound,
    NotPermittedNow,
    OperationPending,
    Quarantined,
)
from rdscsi.host.ports import Mount
from rdscsi.host.simulated import disk
from rdscsi.host.simulated.disk import Filesystem
from rdscsi.journal import TargetRecord, changes
from rdscsi.model import MIB, AccessMode, AccessType
from rdscsi.node.formatting import stamp_of
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

MKFS, CONNECT, DISCONNECT = "make_filesystem", "connect", "disconnect"


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


def staging(world: NodeWorld, volume: NodeVolume) -> str:
    return world.path(f"{volume.name}-staged")


def put_on_disk(volume: NodeVolume, **fields: object) -> None:
    filesystem = Filesystem("ext4", volume.size_bytes, files={"file": "data"})
    disk.write_filesystem(volume.file, replace(filesystem, **fields))  # type: ignore[arg-type]


async def assert_nothing_staged(process: NodeProcess) -> None:
    assert process.host.kernel.attached == {}
    assert process.host.kernel.mounts == []
    assert await process.journal.stages() == []
    assert await process.journal.open_operations() == []


# --- making


async def test_a_permitted_blank_volume_is_formatted_once_and_recorded(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="xfs", flags=("noatime",))
    await process.node.stage(world.stage_request(volume))
    (record,) = await process.journal.stages()
    assert (record.state, record.fs_type, record.formatted) == ("staged", "xfs", True)
    assert (record.size_bytes, record.identity) == (volume.size_bytes, str(volume.file.resolve()))
    (mount,) = process.host.kernel.mounts
    assert mount.mount_point == staging(world, volume)
    assert "noatime" in mount.options
    assert not disk.is_stamped(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    assert process.life.effects.count(MKFS) == 1


async def test_a_volume_without_a_wish_gets_the_default_filesystem(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await process.node.stage(world.stage_request(world.volume()))
    assert process.host.kernel.mounts[0].fs_type == "ext4"


async def test_a_filesystem_that_is_there_is_mounted_and_needs_no_permit(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume)
    await process.node.stage(world.stage_request(volume))
    assert MKFS not in process.life.effects
    (record,) = await process.journal.stages()
    assert (record.fs_type, record.formatted) == ("ext4", False)


async def test_a_block_volume_is_connected_and_not_looked_into(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    put_on_disk(volume)
    await process.node.stage(world.stage_request(volume))
    assert process.host.kernel.mounts == []
    assert (await process.journal.stages())[0].access_type == "block"
    assert not Path(staging(world, volume)).exists()


@pytest.mark.parametrize("mode", [AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.SINGLE_NODE_WRITER])
async def test_a_read_only_publication_is_mounted_read_only(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, mode: AccessMode
) -> None:
    volume = world.volume(access_mode=mode, permit=False)
    put_on_disk(volume)
    await process.node.stage(world.stage_request(volume, readonly=mode is AccessMode.SINGLE_NODE_WRITER))
    assert process.host.kernel.mounts[0].readonly


async def test_a_filesystem_that_does_not_mount_is_checked_and_mounted(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume, damaged=True)
    await process.node.stage(world.stage_request(volume))
    assert [one for one in process.life.effects if one in ("mount", "check_filesystem")] == [
        "mount",
        "check_filesystem",
        "mount",
    ]
    await process.node.stage(world.stage_request(volume))
    assert process.life.effects.count("check_filesystem") == 1


async def test_a_filesystem_for_reading_is_never_repaired(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume, damaged=True)
    with pytest.raises(CommandFailed):
        await process.node.stage(world.stage_request(volume, readonly=True))
    assert "check_filesystem" not in process.life.effects
    await assert_nothing_staged(process)


async def test_a_filesystem_that_is_beyond_repair_is_left_alone(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    put_on_disk(volume, whole=False)
    before = volume.file.read_bytes()
    with pytest.raises(CommandFailed, match="then fsck"):
        await process.node.stage(world.stage_request(volume))
    assert volume.file.read_bytes() == before
    await assert_nothing_staged(process)


async def test_a_filesystem_on_a_larger_device_is_grown_at_once(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume, size_bytes=32 * MIB)
    await process.node.stage(world.stage_request(volume))
    found = disk.read_filesystem(volume.file)
    assert found is not None
    assert (found.size_bytes, found.files) == (volume.size_bytes, {"file": "data"})


async def test_growth_that_is_refused_does_not_keep_a_volume_from_being_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume, size_bytes=32 * MIB)
    process.host.trouble.no_resource_capability = True
    await process.node.stage(world.stage_request(volume))
    (operation,) = await process.journal.operations()
    told = await process.journal.operation_record(operation.id)
    assert told is not None
    assert "CAP_SYS_RESOURCE" in told.steps[-1].detail


async def test_nothing_grows_on_a_volume_for_reading(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    put_on_disk(volume, size_bytes=32 * MIB)
    await process.node.stage(world.stage_request(volume, readonly=True))
    assert "grow_filesystem" not in process.life.effects


async def test_options_of_the_other_filesystem_are_refused_once_it_is_known(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False, flags=("inode64",))
    put_on_disk(volume)
    with pytest.raises(InvalidRequest):
        await process.node.stage(world.stage_request(volume))
    await assert_nothing_staged(process)


# --- verifying


async def test_staging_again_verifies_and_changes_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.mounts.append(process.host.kernel.bound(staging(world, volume), "/pod", readonly=False))
    before = list(process.host.kernel.mounts)
    await process.journal.commit(changes.put_target(_target("/pod", volume)))
    for _ in range(3):
        await process.node.stage(world.stage_request(volume))
    assert process.host.kernel.mounts == before
    assert process.life.effects.count("mount") == process.life.effects.count(MKFS) == 1
    assert DISCONNECT not in process.life.effects


async def test_a_staging_mount_that_was_taken_off_under_a_pod_is_put_back_unprobed(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    del process.host.kernel.mounts[0]
    process.host.trouble.unreadable.clear()
    await process.node.stage(world.stage_request(volume))
    assert sorted(mount.mount_point for mount in process.host.kernel.mounts) == sorted(
        [world.path("pod"), staging(world, volume)]
    )
    assert process.life.effects.count(MKFS) == 1


async def test_a_stage_of_the_same_volume_in_another_way_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="ext4")
    request = world.stage_request(volume)
    await process.node.stage(request)
    other_mode = replace(volume.capability, access_mode=AccessMode.SINGLE_NODE_SINGLE_WRITER)
    others = (
        replace(request, staging_target_path=world.path("elsewhere")),
        replace(request, capability=other_mode),
        replace(request, capability=replace(volume.capability, fs_type="xfs")),
        replace(request, capability=replace(volume.capability, mount_flags=("noatime",))),
        replace(request, capability=replace(volume.capability, access_type=AccessType.BLOCK)),
        replace(request, publish_context=replace(request.publish_context, readonly=True)),
    )
    before = list(process.host.kernel.mounts)
    for other in others:
        with pytest.raises(AlreadyExists):
            await process.node.stage(other)
    assert process.host.kernel.mounts == before
    await process.node.stage(request)


async def test_a_wish_without_a_type_is_content_with_what_is_staged(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="xfs")
    await process.node.stage(world.stage_request(volume))
    volume.capability = replace(volume.capability, fs_type="")
    await process.node.stage(world.stage_request(volume))


async def test_a_filesystem_that_went_read_only_is_mounted_again_when_nobody_uses_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    _stop(process)
    await process.node.stage(world.stage_request(volume))
    assert [mount.super_options for mount in process.host.kernel.mounts] == [("rw",)]
    assert process.life.effects.count(MKFS) == 1


async def test_a_filesystem_that_went_read_only_stays_while_a_pod_has_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    _stop(process)
    with pytest.raises(NotPermittedNow, match="read-only after an error"):
        await process.node.stage(world.stage_request(volume))
    assert len(process.host.kernel.mounts) == 2
    assert (await process.journal.stages())[0].state == "staged"
    assert await process.journal.open_operations() == []


async def test_the_mount_of_a_device_that_is_gone_is_replaced(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    former = process.host.kernel.mounts[0].number
    process.host.kernel.attached.clear()  # ctrl_loss_tmo ran out
    await process.node.stage(world.stage_request(volume))
    now = [mount.number for mount in process.host.kernel.mounts if mount.mount_point == staging(world, volume)]
    assert now != [former]
    assert len(now) == 1
    assert process.life.effects.count(MKFS) == 1


def _stop(process: NodeProcess) -> None:
    """Let the filesystem go read-only, as errors=remount-ro does."""
    kernel = process.host.kernel
    kernel.mounts[:] = [replace(mount, super_options=("ro",)) for mount in kernel.mounts]


def _target(path: str, volume: NodeVolume) -> TargetRecord:
    return TargetRecord(path, volume.volume_id, "mount", "SINGLE_NODE_WRITER", False, 0.0)


# --- refusing to format


async def test_a_blank_volume_without_a_permit_is_refused_with_the_command_that_allows_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    with pytest.raises(FormatRefused) as refused:
        await process.node.stage(world.stage_request(volume))
    text = str(refused.value)
    assert "is blank" in text
    assert f"nvme connect -t tcp -a 192.0.2.10 -s 4420 -n {volume.subnqn}" in text
    assert "mkfs.ext4 DEVICE" in text
    assert disk.is_blank(volume.file, volume.size_bytes)
    await assert_nothing_staged(process)


@pytest.mark.parametrize("permit", [True, False])
async def test_foreign_content_is_never_overwritten(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, permit: bool
) -> None:
    volume = world.volume(permit=permit)
    with volume.file.open("r+b") as opened:
        opened.seek(volume.size_bytes - 1)
        opened.write(b"x")
    with pytest.raises(FormatRefused, match="something else than a filesystem"):
        await process.node.stage(world.stage_request(volume))
    assert volume.file.read_bytes()[-1:] == b"x"
    assert "write_stamp" not in process.life.effects
    await assert_nothing_staged(process)


async def test_another_filesystem_than_the_one_asked_for_is_kept(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="xfs")
    put_on_disk(volume)
    with pytest.raises(FormatRefused, match="holds ext4, and xfs was asked for"):
        await process.node.stage(world.stage_request(volume))
    assert disk.read_filesystem(volume.file) is not None
    await assert_nothing_staged(process)


async def test_an_unreadable_volume_is_not_blank(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    process.host.trouble.unreadable.add(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.stage(world.stage_request(volume))
    assert MKFS not in process.life.effects
    process.host.trouble.unreadable.clear()
    await process.node.stage(world.stage_request(volume))


async def test_a_permit_for_reading_formats_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    with pytest.raises(FormatRefused, match="read-only"):
        await process.node.stage(world.stage_request(volume, readonly=True))
    assert MKFS not in process.life.effects


async def test_a_permit_is_used_once_and_a_volume_that_is_blank_again_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    request = world.stage_request(volume)
    await process.node.stage(request)
    await process.node.unstage(volume.volume_id, staging(world, volume))
    volume.file.write_bytes(b"")
    world.grow(volume, volume.size_bytes)
    with pytest.raises(FormatRefused, match="its data is lost"):
        await process.node.stage(request)
    assert process.life.effects.count(MKFS) == 1
    assert disk.is_blank(volume.file, volume.size_bytes)


async def test_a_filesystem_that_comes_between_the_look_and_mkfs_is_not_overwritten(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    write_stamp = process.host.write_stamp

    async def and_somebody_else(device: object, stamp: str) -> None:
        await write_stamp(device, stamp)  # type: ignore[arg-type]
        put_on_disk(volume)

    process.host.write_stamp = and_somebody_else  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="appears to contain a filesystem"):
        await process.node.stage(world.stage_request(volume))
    found = disk.read_filesystem(volume.file)
    assert found is not None
    assert found.files == {"file": "data"}


async def test_another_epochs_permit_finishes_what_an_earlier_one_began(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    put_on_disk(volume, whole=False)
    world.publish(volume)
    await process.node.stage(world.stage_request(volume))
    found = disk.read_filesystem(volume.file)
    assert found is not None
    assert found.whole


async def test_a_half_made_filesystem_without_a_permit_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    with pytest.raises(FormatRefused, match="begun and not finished"):
        await process.node.stage(world.stage_request(volume))


async def test_another_volumes_stamp_permits_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of("rds/another"))
    with pytest.raises(FormatRefused):
        await process.node.stage(world.stage_request(volume))
    assert MKFS not in process.life.effects


# --- whose it is


async def test_an_id_of_no_form_is_not_found_and_another_clusters_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume())
    with pytest.raises(NotFound):
        await process.node.stage(replace(request, volume_id="foreign"))
    other = names.volume_id("rds", names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"))
    with pytest.raises(InvalidRequest, match="another cluster"):
        await process.node.stage(replace(request, volume_id=other))
    assert CONNECT not in process.life.effects


async def test_the_publish_context_of_another_volume_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request, other = world.stage_request(world.volume()), world.stage_request(world.volume("pvc-2"))
    with pytest.raises(InvalidRequest, match="subnqn"):
        await process.node.stage(replace(request, publish_context=other.publish_context))
    assert CONNECT not in process.life.effects


async def test_options_that_are_not_allowed_are_refused_before_anything_is_done(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume(flags=("noatime", "nobarrier")))
    with pytest.raises(InvalidRequest, match=r"mount_flags\[1\]"):
        await process.node.stage(request)
    await assert_nothing_staged(process)


async def test_a_device_smaller_than_it_ever_was_is_not_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.mounts.clear()
    process.host.kernel.attached[volume.subnqn].size_bytes = 32 * MIB
    with pytest.raises(Quarantined, match="it had"):
        await process.node.stage(world.stage_request(volume))


async def test_another_namespace_under_a_pod_that_uses_the_first_is_not_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.attached[volume.subnqn].file = str(world.exporter.file("stranger", volume.size_bytes))
    with pytest.raises(Quarantined, match="was staged"):
        await process.node.stage(world.stage_request(volume))


async def test_a_new_connection_may_show_another_identity(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.attached.clear()
    moved = volume.file.rename(volume.file.with_name("moved.img"))
    world.exporter.export(volume.subnqn, moved)
    await process.node.stage(world.stage_request(volume))
    assert (await process.journal.stages())[0].identity == str(moved.resolve())


async def test_something_else_mounted_at_the_staging_path_is_left_there(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    strange = Mount(staging(world, volume), (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))
    process.host.kernel.mounts.append(strange)
    with pytest.raises(NotPermittedNow, match="not this volume"):
        await process.node.stage(world.stage_request(volume))
    assert process.host.kernel.mounts == [strange]
    assert process.host.kernel.attached == {}
    assert await process.journal.open_operations() == []
    process.host.kernel.mounts.clear()
    await process.node.stage(world.stage_request(volume))


async def test_a_device_mounted_where_nobody_asked_for_it_is_left_there(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.mounts[0] = replace(process.host.kernel.mounts[0], mount_point="/somewhere")
    with pytest.raises(NotPermittedNow, match="/somewhere"):
        await process.node.stage(world.stage_request(volume))
    assert [mount.mount_point for mount in process.host.kernel.mounts] == ["/somewhere"]
    assert volume.subnqn in process.host.kernel.attached


async def test_a_block_volume_that_somebody_mounted_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(volume))
    number = process.host.kernel.attached[volume.subnqn].device.number
    process.host.kernel.mounts.append(Mount("/somewhere", number, "/", "ext4", "x", ("rw",), ("rw",)))
    with pytest.raises(NotPermittedNow, match="mounted at /somewhere"):
        await process.node.stage(world.stage_request(volume))


# --- epochs


async def test_a_newer_epoch_first_clears_the_older_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    older = volume.subnqn
    world.publish(volume)
    volume.permit = False
    await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [volume.subnqn] != [older]
    assert len(process.host.kernel.mounts) == 1
    (record,) = await process.journal.stages()
    assert (record.subnqn, record.state) == (volume.subnqn, "staged")


async def test_an_older_epoch_that_is_still_published_is_not_cleared(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    older = volume.subnqn
    world.publish(volume)
    with pytest.raises(NotPermittedNow, match="pod"):
        await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [older]
    assert len(process.host.kernel.mounts) == 2
    (record,) = await process.journal.stages()
    assert (record.subnqn, record.state) == (older, "staged")
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await process.node.stage(world.stage_request(volume))


async def test_an_older_epoch_without_a_record_is_cleared_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.publish(volume)
    await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [volume.subnqn]


async def test_a_half_made_staging_elsewhere_is_cleared_before_it_is_made_here(
    world: NodeWorld, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    request = world.stage_request(volume)
    async with world.process(Life("die after", 7)) as process:  # the mount, the last effect but the commit
        await process.node.stage(request)
    async with world.process() as process:
        assert len(process.host.kernel.mounts) == 1
        moved = replace(request, staging_target_path=world.path("moved"))
        await process.node.stage(moved)
        assert [mount.mount_point for mount in process.host.kernel.mounts] == [world.path("moved")]


# --- errors on the way


async def test_a_volume_that_nobody_offers_stays_wanted_until_it_is(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    world.exporter.withdraw(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.stage(world.stage_request(volume))
    (operation,) = await process.journal.open_operations()
    assert operation.kind == "stage"
    world.exporter.export(volume.subnqn, volume.file)
    await process.node.stage(world.stage_request(volume))
    assert await process.journal.open_operations() == []


async def test_a_refused_volume_that_somebody_holds_meanwhile_stays_open(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    process.host.trouble.held[volume.subnqn] = ("dm-0 stands on it",)
    with pytest.raises(OperationPending, match="dm-0"):
        await process.node.stage(world.stage_request(volume))
    assert volume.subnqn in process.host.kernel.attached
    process.host.trouble.held.clear()
    with pytest.raises(FormatRefused):
        await process.node.stage(world.stage_request(volume))
    await assert_nothing_staged(process)


async def test_a_staging_path_that_is_a_file_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    Path(staging(world, volume)).write_text("somebody's")
    with pytest.raises(NotPermittedNow):
        await process.node.stage(world.stage_request(volume))
    assert Path(staging(world, volume)).read_text() == "somebody's"
    await assert_nothing_staged(process)


async def test_two_stages_of_one_volume_at_once_are_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume())
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(process.node.stage, request)
    assert process.life.effects.count(MKFS) == 1
    assert len(await process.journal.operations()) == 1


async def test_a_context_option_reaches_the_mount_byte_for_byte(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    label = 'context="system_u:object_r:container_file_t:s0:c1,c2"'
    seen: list[tuple[str, ...]] = []
    mount = process.host.mount

    async def watched(device: object, path: str, fs_type: str, options: tuple[str, ...]) -> None:
        seen.append(options)
        await mount(device, path, fs_type, options)  # type: ignore[arg-type]

    process.host.mount = watched  # type: ignore[method-assign, assignment]
    await process.node.stage(world.stage_request(world.volume(flags=("noatime,nodev", label))))
    assert seen == [("noatime", "nodev", label)]


async def test_a_mount_that_does_not_show_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    async def nothing(*_: object) -> None:
        pass

    process.host.mount = nothing  # type: ignore[method-assign, assignment]
    with pytest.raises(OperationPending, match="not to be seen there"):
        await process.node.stage(world.stage_request(world.volume()))


async def test_a_refused_volume_under_a_strangers_mount_stays_open(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """What is ours there cannot be reached, so it cannot be taken off; and what is mounted is never disconnected."""
    volume = world.volume()
    mount = process.host.mount

    async def and_over_it(*arguments: object) -> None:
        await mount(*arguments)  # type: ignore[arg-type]
        strange = Mount(staging(world, volume), (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))
        process.host.kernel.mounts.append(strange)

    process.host.mount = and_over_it  # type: ignore[method-assign, assignment]
    with pytest.raises(OperationPending, match="not this volume"):
        await process.node.stage(world.stage_request(volume))
    assert volume.subnqn in process.host.kernel.attached
    process.host.kernel.mounts.pop()
    await process.node.stage(world.stage_request(volume))


async def test_a_death_while_an_older_epoch_is_cleared_is_made_up_for(
    world: NodeWorld, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
    world.publish(volume)
    volume.permit = False
    async with world.process(Life("die before", 2)) as process:  # intent, unmount, and then the disconnection
        await process.node.stage(world.stage_request(volume))
    async with world.process() as process:
        assert (await process.journal.stages())[0].subnqn != volume.subnqn
        assert await process.node._recovery.settle_all() == 1
        await process.node.stage(world.stage_request(volume))
        assert list(process.host.kernel.attached) == [volume.subnqn]
        assert await process.journal.open_operations() == []
