"""NodeStageVolume over a simulated machine: what it makes, and what it verifies when it is asked again."""

from dataclasses import replace
from pathlib import Path

import pytest
from staging_rig import DISCONNECT, MKFS, assert_nothing_staged, put_on_disk, staging
from trio.testing import MockClock

from rdscsi.errors import (
    AlreadyExists,
    CommandFailed,
    DeviceUnavailable,
    InvalidRequest,
    NotPermittedNow,
    OutcomeUnknown,
)
from rdscsi.host.ports import PathState
from rdscsi.host.simulated import disk
from rdscsi.journal import TargetRecord, changes
from rdscsi.model import MIB, AccessMode, AccessType
from rdscsi.node.formatting import stamp_of
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

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


@pytest.mark.parametrize("shown", [("ro",), ("rw", "emergency_ro"), ("rw", "shutdown")])
async def test_a_filesystem_that_an_error_has_stopped_is_mounted_again_when_nobody_uses_it(
    world: NodeWorld, process: NodeProcess, shown: tuple[str, ...], autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    _stop(process, *shown)
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


async def test_a_filesystem_that_answers_with_errors_is_mounted_again_when_nobody_uses_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """As an XFS that was shut down, whose options do not show it."""
    volume = world.volume(fs_type="xfs")
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    process.host.trouble.failed |= {staging(world, volume), world.path("pod")}
    with pytest.raises(NotPermittedNow, match="must go from there first"):
        await process.node.stage(world.stage_request(volume))
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await process.node.publish(world.publish_request(volume))  # kubelet does not stage again by itself
    assert process.host.trouble.failed == set()
    assert [mount.mount_point for mount in process.host.kernel.mounts] == [staging(world, volume), world.path("pod")]
    assert process.life.effects.count(MKFS) == 1


async def test_a_filesystem_that_does_not_answer_is_left_as_it_is(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))

    async def hangs(path: str) -> PathState:
        raise DeviceUnavailable("no answer within 10 s") from OutcomeUnknown("lstat")

    process.host.path_state = hangs  # type: ignore[method-assign]
    with pytest.raises(DeviceUnavailable, match="no answer"):
        await process.node.stage(world.stage_request(volume))
    assert len(process.host.kernel.mounts) == 1


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


def _stop(process: NodeProcess, *shown: str) -> None:
    """Let the filesystem stop after an error: read-only, as errors=remount-ro does, unless something else is shown."""
    kernel = process.host.kernel
    kernel.mounts[:] = [replace(mount, super_options=shown or ("ro",)) for mount in kernel.mounts]


def _target(path: str, volume: NodeVolume) -> TargetRecord:
    return TargetRecord(path, volume.volume_id, "mount", "SINGLE_NODE_WRITER", False, 0.0)
