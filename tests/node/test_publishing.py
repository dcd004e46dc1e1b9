"""NodePublishVolume over a simulated machine: filesystems."""

from dataclasses import replace
from pathlib import Path

import pytest
from staging_rig import at, leave_open, staged
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import (
    AlreadyExists,
    DeviceUnavailable,
    InvalidRequest,
    NotFound,
    NotPermittedNow,
    Quarantined,
)
from rdscsi.host.ports import Mount
from rdscsi.model import AccessMode, AccessType
from rdscsi.testing.node import NodeProcess, NodeWorld


async def test_publishing_again_never_stacks_mounts(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    for _ in range(10):
        await process.node.publish(world.publish_request(volume))
    assert at(process, world.path("pod")) == [False]
    assert process.life.effects.count("bind") == 1
    (record,) = await process.journal.targets()
    assert (record.target_path, record.access_mode, record.readonly) == (world.path("pod"), "SINGLE_NODE_WRITER", False)


async def test_mounts_that_somebody_stacked_become_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    mounts = process.host.kernel.mounts
    mounts.extend([mounts[-1]] * 3)
    await process.node.publish(world.publish_request(volume))
    assert at(process, world.path("pod")) == [False]


async def test_another_spelling_of_the_path_is_the_same_target(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    Path(world.path("link")).symlink_to(world.directory / "kubelet")
    for spelling in ("./pod/", "link/pod", "pvc-1-staged/../pod"):
        await process.node.publish(world.publish_request(volume, spelling))
    assert process.life.effects.count("bind") == 1
    await process.node.unpublish(volume.volume_id, world.path("link/pod"))
    assert at(process, world.path("pod")) == []


@pytest.mark.parametrize("readonly", [True, False])
async def test_the_access_that_is_asked_for_is_the_mounts(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, readonly: bool
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume, readonly=readonly))
    assert at(process, world.path("pod")) == [readonly]
    with pytest.raises(AlreadyExists):
        await process.node.publish(world.publish_request(volume, readonly=not readonly))
    assert at(process, world.path("pod")) == [readonly]


async def test_a_volume_staged_for_reading_is_published_for_reading(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.unstage(volume.volume_id, world.path("pvc-1-staged"))
    await process.node.stage(world.stage_request(volume, readonly=True))
    await process.node.publish(world.publish_request(volume))
    assert at(process, world.path("pod")) == [True]


async def test_a_bind_of_the_wrong_access_is_made_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """What a crash between the two steps of a read-only bind leaves."""
    volume = await staged(world, process)
    Path(world.path("pod")).mkdir()
    bound = process.host.kernel.bound(world.path("pvc-1-staged"), world.path("pod"), readonly=False)
    process.host.kernel.mounts.append(bound)
    await process.node.publish(world.publish_request(volume, readonly=True))
    assert at(process, world.path("pod")) == [True]


async def test_a_target_in_another_mode_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    request = world.publish_request(volume)
    await process.node.publish(request)
    other = replace(volume.capability, access_mode=AccessMode.SINGLE_NODE_MULTI_WRITER)
    with pytest.raises(AlreadyExists):
        await process.node.publish(replace(request, capability=other))


@pytest.mark.parametrize("mode", [AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_MULTI_WRITER])
async def test_several_targets_are_allowed_but_for_a_single_writer(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, mode: AccessMode
) -> None:
    volume = await staged(world, process, access_mode=mode)
    await process.node.publish(world.publish_request(volume, "pod-1"))
    await process.node.publish(world.publish_request(volume, "pod-2"))
    assert len(await process.journal.targets()) == 2


async def test_a_single_writer_has_one_target(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_mode=AccessMode.SINGLE_NODE_SINGLE_WRITER)
    await process.node.publish(world.publish_request(volume, "pod-1"))
    with pytest.raises(NotPermittedNow, match="pod-1"):
        await process.node.publish(world.publish_request(volume, "pod-2"))
    assert not Path(world.path("pod-2")).exists()
    await process.node.publish(world.publish_request(volume, "pod-1"))
    await process.node.unpublish(volume.volume_id, world.path("pod-1"))
    await process.node.publish(world.publish_request(volume, "pod-2"))


async def test_the_dead_target_of_a_single_writer_does_not_count(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_mode=AccessMode.SINGLE_NODE_SINGLE_WRITER)
    await process.node.publish(world.publish_request(volume, "pod-1"))
    process.host.kernel.mounts.pop()
    await process.node.publish(world.publish_request(volume, "pod-2"))


async def test_the_unfinished_target_of_a_single_writer_counts(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_mode=AccessMode.SINGLE_NODE_SINGLE_WRITER)
    await leave_open(world, process, volume, "pod-1")
    with pytest.raises(NotPermittedNow, match="pod-1"):
        await process.node.publish(world.publish_request(volume, "pod-2"))


async def test_an_unstaged_volume_is_not_published(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    with pytest.raises(NotPermittedNow, match="not staged"):
        await process.node.publish(world.publish_request(volume))
    await process.node.stage(world.stage_request(volume))
    request = world.publish_request(volume)
    with pytest.raises(NotPermittedNow, match="staged at"):
        await process.node.publish(replace(request, staging_target_path=world.path("elsewhere")))
    with pytest.raises(NotPermittedNow, match="staged as mount"):
        block = replace(volume.capability, access_type=AccessType.BLOCK)
        await process.node.publish(replace(request, capability=block))
    with pytest.raises(NotPermittedNow, match="staged with ext4"):
        await process.node.publish(replace(request, capability=replace(volume.capability, fs_type="xfs")))
    assert not Path(world.path("pod")).exists()
    assert await process.journal.open_operations() == []


async def test_ids_that_are_not_ours_are_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.publish_request(world.volume())
    with pytest.raises(NotFound):
        await process.node.publish(replace(request, volume_id="foreign"))
    other = names.volume_id("rds", names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"))
    with pytest.raises(InvalidRequest):
        await process.node.publish(replace(request, volume_id=other))


async def test_a_target_of_another_volume_is_left_alone(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    first = await staged(world, process)
    second = await staged(world, process, "pvc-2")
    await process.node.publish(world.publish_request(first))
    with pytest.raises(NotPermittedNow, match="is published there"):
        await process.node.publish(world.publish_request(second))
    with pytest.raises(NotPermittedNow, match="is published there"):
        await process.node.unpublish(second.volume_id, world.path("pod"))
    assert at(process, world.path("pod")) == [False]


async def test_something_else_at_the_target_is_left_alone(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    Path(world.path("pod")).mkdir()
    strange = Mount(world.path("pod"), (0, 99), "/", "nfs", "server:/", ("rw",), ("rw",))
    process.host.kernel.mounts.append(strange)
    with pytest.raises(NotPermittedNow, match="not this volume"):
        await process.node.publish(world.publish_request(volume))
    with pytest.raises(NotPermittedNow, match="not this volume"):
        await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert strange in process.host.kernel.mounts
    assert await process.journal.open_operations() == []


async def test_a_file_in_the_way_of_a_directory_is_kept(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    Path(world.path("pod")).write_text("somebody's")
    with pytest.raises(NotPermittedNow, match="in the way"):
        await process.node.publish(world.publish_request(volume))
    assert Path(world.path("pod")).read_text() == "somebody's"
    assert await process.journal.open_operations() == []


async def test_an_error_takes_nothing_off_that_was_published_before(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    mounts = process.host.kernel.mounts
    mounts[:] = [replace(mount, super_options=("ro",)) for mount in mounts]  # it stopped; the pod has it still
    with pytest.raises(NotPermittedNow, match="read-only after an error"):
        await process.node.publish(world.publish_request(volume, "pod"))
    assert at(process, world.path("pod")) == [False]


async def test_a_volume_whose_device_was_lost_is_staged_again_for_the_next_pod(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume, "pod-1"))
    process.host.kernel.attached.clear()
    await process.node.publish(world.publish_request(volume, "pod-2"))
    number = process.host.kernel.attached[volume.subnqn].device.number
    assert [one.number for one in process.host.kernel.mounts if one.mount_point == world.path("pod-2")] == [number]
    assert process.life.effects.count("make_filesystem") == 1
    assert len(at(process, world.path("pod-1"))) == 1  # dead, and the pod's own affair


async def test_a_volume_that_is_offered_no_more_is_not_staged_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.kernel.attached.clear()
    world.exporter.withdraw(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.publish(world.publish_request(volume))


async def test_another_namespace_than_the_staged_one_is_not_published(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.kernel.attached[volume.subnqn].file += "-other"
    with pytest.raises(Quarantined):
        await process.node.publish(world.publish_request(volume))
    assert at(process, world.path("pod")) == []


async def test_a_controller_that_is_connecting_is_waited_for(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.publish(world.publish_request(volume))
    process.host.trouble.connecting.clear()
    await process.node.publish(world.publish_request(volume))
    assert await process.node._recovery.settle_all() == 0
    assert [record.state for record in await process.journal.stages()] == ["staged"]
