"""NodeExpandVolume and NodeGetVolumeStats over a simulated machine."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from rdscsi.errors import (
    CapacityOutOfRange,
    CommandFailed,
    DeviceUnavailable,
    NotFound,
    NotPermittedNow,
    Quarantined,
)
from rdscsi.journal import changes
from rdscsi.model import MIB, AccessType, CapacityRange
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

GROWN = 128 * MIB


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


async def published(world: NodeWorld, process: NodeProcess, access_type: AccessType = AccessType.MOUNT) -> NodeVolume:
    volume = world.volume(access_type=access_type)
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    return volume


async def usage(process: NodeProcess, volume: NodeVolume, path: str, staging: str = "") -> dict[str, int]:
    stats = await process.node.stats(volume.volume_id, path, staging)
    return {one.unit: one.total for one in stats.usage}


# --- expanding


@pytest.mark.parametrize("access_type", AccessType)
async def test_a_volume_is_expanded_by_whichever_path(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, access_type: AccessType
) -> None:
    volume = await published(world, process, access_type)
    size = volume.size_bytes
    paths = [world.path("pvc-1-staged"), world.path("pod")]
    for path in paths:
        size += 64 * MIB
        world.grow(volume, size)
        request = world.expand_request(volume, path, size)
        assert await process.node.expand(replace(request, staging_target_path="", capability=None)) == size
        assert (await usage(process, volume, world.path("pod")))["bytes"] == size
        assert (await process.journal.stages())[0].size_bytes == size


async def test_a_volume_is_expanded_before_it_is_published(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(volume))
    world.grow(volume, GROWN)
    assert await process.node.expand(world.expand_request(volume, world.path("pvc-1-staged"), GROWN)) == GROWN


async def test_the_observed_size_is_returned_also_when_nothing_is_asked_for(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    world.grow(volume, GROWN)
    request = replace(world.expand_request(volume, world.path("pod"), 0), capacity_range=CapacityRange())
    assert await process.node.expand(request) == GROWN


async def test_a_size_that_does_not_come_is_waited_for_and_stays_wanted(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    request = world.expand_request(volume, world.path("pod"), GROWN)
    with pytest.raises(DeviceUnavailable, match="not yet"):
        await process.node.expand(request)
    assert len(await process.journal.open_operations()) == 1
    world.grow(volume, GROWN)
    assert await process.node.expand(request) == GROWN
    assert await process.journal.open_operations() == []


async def test_a_limit_below_the_volumes_size_is_out_of_range(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    request = replace(world.expand_request(volume, world.path("pod"), 0), capacity_range=CapacityRange(0, MIB))
    with pytest.raises(CapacityOutOfRange):
        await process.node.expand(request)
    assert await process.journal.open_operations() == []


async def test_growth_that_is_refused_is_told_and_the_volume_goes_on(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    world.grow(volume, GROWN)
    process.host.trouble.no_resource_capability = True
    with pytest.raises(CommandFailed, match="CAP_SYS_RESOURCE"):
        await process.node.expand(world.expand_request(volume, world.path("pod"), GROWN))
    assert await process.journal.open_operations() == []
    process.host.trouble.no_resource_capability = False
    assert await process.node.expand(world.expand_request(volume, world.path("pod"), GROWN)) == GROWN


async def test_a_volume_for_reading_shows_its_new_size_and_its_filesystem_stays(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await process.node.unstage(volume.volume_id, world.path("pvc-1-staged"))
    await process.node.stage(world.stage_request(volume, readonly=True))
    world.grow(volume, GROWN)
    assert await process.node.expand(world.expand_request(volume, world.path("pvc-1-staged"), GROWN)) == GROWN
    assert "grow_filesystem" not in process.life.effects


async def test_what_is_not_at_the_path_is_not_found(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    with pytest.raises(NotFound):
        await process.node.expand(world.expand_request(volume, world.path("pvc-1-staged"), GROWN))
    await published(world, process)
    with pytest.raises(NotFound):
        await process.node.expand(world.expand_request(volume, world.path("elsewhere"), GROWN))
    assert "wait_size" not in process.life.effects


async def test_a_filesystem_that_is_not_mounted_does_not_grow(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    process.host.kernel.mounts.clear()
    with pytest.raises(NotPermittedNow, match="not mounted"):
        await process.node.expand(world.expand_request(volume, world.path("pod"), volume.size_bytes))
    process.host.kernel.attached.clear()
    with pytest.raises(NotPermittedNow, match="not connected any more"):
        await process.node.expand(world.expand_request(volume, world.path("pod"), volume.size_bytes))


async def test_another_namespace_is_not_grown(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    process.host.kernel.attached[volume.subnqn].file += "-other"
    with pytest.raises(Quarantined):
        await process.node.expand(world.expand_request(volume, world.path("pod"), GROWN))


# --- measuring


async def test_a_filesystem_tells_bytes_and_inodes_at_both_paths(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    for path in (world.path("pod"), world.path("pvc-1-staged")):
        assert await usage(process, volume, path) == {"bytes": volume.size_bytes, "inodes": 1000}


async def test_a_block_volume_tells_bytes_at_both_paths(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process, AccessType.BLOCK)
    for path in (world.path("pod"), world.path("pvc-1-staged")):
        assert await usage(process, volume, path) == {"bytes": volume.size_bytes}


@pytest.mark.parametrize("access_type", AccessType)
async def test_a_volume_is_measured_where_it_is_only(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, access_type: AccessType
) -> None:
    volume = await published(world, process, access_type)
    with pytest.raises(NotFound):
        await usage(process, volume, world.path("elsewhere"))
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    with pytest.raises(NotFound):
        await usage(process, volume, world.path("pod"))
    await process.node.unstage(volume.volume_id, world.path("pvc-1-staged"))
    with pytest.raises(NotFound):
        await usage(process, volume, world.path("pvc-1-staged"))


@pytest.mark.parametrize("access_type", AccessType)
async def test_a_target_that_shows_nothing_is_not_found(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, access_type: AccessType
) -> None:
    volume = await published(world, process, access_type)
    process.host.kernel.mounts.clear()
    process.host.kernel.nodes.clear()
    with pytest.raises(NotFound):
        await usage(process, volume, world.path("pod"))


async def test_what_is_wrong_is_told(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await published(world, process)
    mounts = process.host.kernel.mounts
    mounts[:] = [replace(mount, super_options=("ro",)) for mount in mounts]
    stats = await process.node.stats(volume.volume_id, world.path("pod"), "")
    assert (stats.usage[0].total, stats.abnormal) == (volume.size_bytes, "its filesystem is read-only after an error")
    attached = process.host.kernel.attached.pop(volume.subnqn)
    stats = await process.node.stats(volume.volume_id, world.path("pod"), "")
    assert (stats.usage, "is gone" in stats.abnormal) == ((), True)
    attached.minor = 5  # it came back under another number; what is mounted is the one that went
    process.host.kernel.attached[volume.subnqn] = attached
    stats = await process.node.stats(volume.volume_id, world.path("pod"), "")
    assert (stats.usage, "a device that is gone" in stats.abnormal) == ((), True)


# --- without a record


@pytest.mark.parametrize("access_type", AccessType)
async def test_a_lost_record_is_made_anew_from_what_is_seen(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, access_type: AccessType
) -> None:
    volume = await published(world, process, access_type)
    staging, pod = world.path("pvc-1-staged"), world.path("pod")
    await process.journal.commit(changes.drop_stage(volume.volume_id), changes.drop_target(pod))
    with pytest.raises(NotFound):
        await usage(process, volume, pod)  # the path alone does not tell where it is staged
    assert (await usage(process, volume, pod, staging))["bytes"] == volume.size_bytes
    (record,) = await process.journal.stages()
    assert (record.staging_target_path, record.subnqn, record.state) == (staging, volume.subnqn, "staged")
    await process.node.publish(world.publish_request(volume, "pod-2"))
    await process.node.stage(world.stage_request(volume))
    (record,) = await process.journal.stages()
    assert record.access_mode == "SINGLE_NODE_WRITER"


async def test_a_record_is_made_anew_only_from_what_is_clear(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    staging, pod = world.path("pvc-1-staged"), world.path("pod")
    await process.journal.commit(changes.drop_stage(volume.volume_id), changes.drop_target(pod))
    block = replace(volume.capability, access_type=AccessType.BLOCK)
    with pytest.raises(NotPermittedNow):  # mounted, so not staged as a block device
        await process.node.publish(replace(world.publish_request(volume, "pod-2"), capability=block))
    with pytest.raises(NotFound):  # not mounted there
        await usage(process, volume, pod, world.path("elsewhere"))
    mounts = process.host.kernel.mounts
    mounts[:] = [replace(mount, fs_type="btrfs") for mount in mounts]
    with pytest.raises(NotFound):  # nothing that this driver mounts
        await usage(process, volume, pod, staging)
    process.host.kernel.attached.clear()
    with pytest.raises(NotFound):
        await usage(process, volume, pod, staging)


async def test_a_subsystem_without_a_device_makes_no_record(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))

    async def none(subnqn: str) -> None:
        """What the kernel shows of a subsystem that awaits its last user."""

    process.host.find_device = none  # type: ignore[method-assign]
    with pytest.raises(NotPermittedNow, match="not staged"):
        await process.node.publish(world.publish_request(volume))
