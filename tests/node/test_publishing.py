"""NodePublishVolume and NodeUnpublishVolume over a simulated machine."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import (
    AlreadyExists,
    DeviceUnavailable,
    InvalidRequest,
    NotFound,
    NotPermittedNow,
    OperationPending,
    OutcomeUnknown,
    Quarantined,
)
from rdscsi.host.ports import Mount
from rdscsi.journal import changes
from rdscsi.model import AccessMode, AccessType
from rdscsi.node.recovery import PATIENCE_SECONDS
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


async def staged(world: NodeWorld, process: NodeProcess, name: str = "pvc-1", **wishes: object) -> NodeVolume:
    volume = world.volume(name, **wishes)  # type: ignore[arg-type]
    await process.node.stage(world.stage_request(volume))
    return volume


def at(process: NodeProcess, path: str) -> list[bool]:
    """The mounts of a path, by whether they are read-only."""
    return [mount.readonly for mount in process.host.kernel.mounts if mount.mount_point == path]


# --- filesystems


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
    await _leave_open(world, process, volume, "pod-1")
    with pytest.raises(NotPermittedNow, match="pod-1"):
        await process.node.publish(world.publish_request(volume, "pod-2"))


async def _leave_open(world: NodeWorld, process: NodeProcess, volume: NodeVolume, target: str) -> None:
    """Let the publishing at a target be begun and not finished."""
    process.life.at, process.life.fault = len(process.life.effects) + 1, "unknown before"
    with pytest.raises(OutcomeUnknown):
        await process.node.publish(world.publish_request(volume, target))
    assert [one.subject for one in await process.journal.open_operations()] == [world.path(target)]


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


# --- block volumes


async def test_a_block_volume_is_a_node_of_its_number(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_type=AccessType.BLOCK)
    for _ in range(3):
        await process.node.publish(world.publish_request(volume))
    number = process.host.kernel.attached[volume.subnqn].device.number
    assert process.host.kernel.nodes == {world.path("pod"): number}
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert process.host.kernel.nodes == {}
    assert not Path(world.path("pod")).exists()


@pytest.mark.parametrize("kind", ["node", "file", "bound"])
async def test_what_is_stale_at_a_block_target_is_replaced(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, kind: str
) -> None:
    volume = await staged(world, process, access_type=AccessType.BLOCK)
    path, kernel = world.path("pod"), process.host.kernel
    Path(path).write_text("")
    if kind == "node":
        kernel.nodes[path] = (259, 77)
    elif kind == "bound":
        kernel.mounts.append(kernel.bound("/dev/simulated77", path, readonly=False))
    await process.node.publish(world.publish_request(volume))
    assert kernel.nodes == {path: kernel.attached[volume.subnqn].device.number}
    assert kernel.mounts == []


async def test_a_directory_or_data_in_the_way_of_a_node_is_kept(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_type=AccessType.BLOCK)
    Path(world.path("pod")).mkdir()
    Path(world.path("pod/inner")).write_text("data")
    Path(world.path("file")).write_text("data")
    for target in ("pod", "file"):
        with pytest.raises(NotPermittedNow):
            await process.node.publish(world.publish_request(volume, target))
    assert Path(world.path("pod/inner")).read_text() == Path(world.path("file")).read_text() == "data"
    assert await process.journal.open_operations() == []


async def test_nodes_that_outlived_their_device_go_before_another_is_connected(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    first = await staged(world, process, access_type=AccessType.BLOCK)
    await process.node.publish(world.publish_request(first, "pod-1"))
    number = process.host.kernel.attached[first.subnqn].device.number
    process.host.kernel.attached.clear()
    second = await staged(world, process, "pvc-2", access_type=AccessType.BLOCK)
    assert process.host.kernel.attached[second.subnqn].device.number == number
    assert not Path(world.path("pod-1")).exists()
    assert process.life.effects.index("remove") < process.life.effects.index("connect", 5)
    await process.node.unpublish(first.volume_id, world.path("pod-1"))


async def test_a_number_that_is_still_reachable_is_not_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    world.nodev = True
    process.host.trouble.nodev.add(str(world.directory))
    first = await staged(world, process, access_type=AccessType.BLOCK)
    await process.node.publish(world.publish_request(first, "pod-1"))
    process.host.kernel.attached.clear()
    process.host.trouble.busy.add(world.path("pod-1"))
    second = world.volume("pvc-2", access_type=AccessType.BLOCK)
    with pytest.raises(DeviceUnavailable, match="can be opened through"):
        await process.node.stage(world.stage_request(second))
    assert process.host.kernel.attached == {}
    process.host.trouble.busy.clear()
    await process.node.stage(world.stage_request(second))


async def test_the_node_of_an_unfinished_publishing_goes_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    first = await staged(world, process, access_type=AccessType.BLOCK)
    process.life.at, process.life.fault = len(process.life.effects) + 1, "unknown after"
    with pytest.raises(OutcomeUnknown):
        await process.node.publish(world.publish_request(first, "pod-1"))
    assert process.host.kernel.nodes
    process.host.kernel.attached.clear()
    await staged(world, process, "pvc-2", access_type=AccessType.BLOCK)
    assert process.host.kernel.nodes == {}


# --- unpublishing


async def test_nothing_there_is_a_success_and_leaves_no_trace(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await process.node.unpublish("whatever", world.path("pod"))
    await process.node.unpublish(world.volume().volume_id, world.path("no/such/pod"))
    assert await process.journal.operations() == []


async def test_an_empty_directory_that_kubelet_made_goes_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    Path(world.path("pod")).mkdir()
    await process.node.unpublish(world.volume().volume_id, world.path("pod"))
    assert not Path(world.path("pod")).exists()


async def test_stacked_mounts_all_come_off(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    mounts = process.host.kernel.mounts
    mounts.extend([mounts[-1]] * 5)
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert [mount.mount_point for mount in mounts] == [world.path("pvc-1-staged")]


async def test_what_is_under_the_mount_is_never_removed(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    Path(world.path("pod/inner")).write_text("data")
    with pytest.raises(NotPermittedNow, match="not empty"):
        await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert Path(world.path("pod/inner")).read_text() == "data"
    assert at(process, world.path("pod")) == []
    await process.node.unstage(volume.volume_id, world.path("pvc-1-staged"))
    assert await process.journal.targets() == []


async def test_a_busy_target_is_tried_again_until_it_is_not(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    process.host.trouble.busy.add(world.path("pod"))
    with pytest.raises(OperationPending, match="busy"):
        await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert len(await process.journal.targets()) == 1
    process.host.trouble.busy.clear()
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert await process.journal.targets() == []


async def test_the_bind_of_a_device_that_is_gone_comes_off(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.attached.clear()
    await process.journal.commit(changes.drop_target(world.path("pod")))
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    assert not Path(world.path("pod")).exists()


async def test_mounts_that_come_faster_than_they_go_are_given_up_on(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    unmount = process.host.unmount

    async def and_again(mount_point: str) -> None:
        top = process.host.kernel.top(mount_point)
        assert top is not None
        await unmount(mount_point)
        process.host.kernel.mounts.append(top)

    process.host.unmount = and_again  # type: ignore[method-assign]
    with pytest.raises(OperationPending, match="still mounted"):
        await process.node.unpublish(volume.volume_id, world.path("pod"))


async def test_a_path_that_does_not_go_away_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))

    async def keep(path: str) -> None:
        pass

    process.host.remove = keep  # type: ignore[method-assign]
    with pytest.raises(OperationPending, match="a directory is there"):
        await process.node.unpublish(volume.volume_id, world.path("pod"))


# --- what a machine may do


async def test_a_bind_that_does_not_show_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)

    async def nothing(source: str, mount_point: str, *, readonly: bool) -> None:
        pass

    process.host.bind = nothing  # type: ignore[method-assign]
    with pytest.raises(OperationPending, match="nothing is to be seen"):
        await process.node.publish(world.publish_request(volume))


async def test_a_node_that_does_not_show_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, access_type=AccessType.BLOCK)

    async def nothing(path: str, device: object, *, readonly: bool) -> None:
        pass

    process.host.make_device_node = nothing  # type: ignore[method-assign]
    with pytest.raises(OperationPending, match="absent None, and not"):
        await process.node.publish(world.publish_request(volume))


async def test_a_rebuilt_record_is_not_enough_to_stage_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    await process.node.publish(world.publish_request(volume, "pod-1"))
    mounts = process.host.kernel.mounts
    mounts[:] = [replace(mount, super_options=("ro",)) for mount in mounts]
    with pytest.raises(NotPermittedNow, match="stage it again"):
        await process.node.publish(world.publish_request(volume, "pod-2"))
    mounts.clear()
    with pytest.raises(NotPermittedNow, match="stage it again"):
        await process.node.publish(world.publish_request(volume, "pod-1"))
    assert len(await process.journal.targets()) == 1  # published before, so nothing is taken off
    assert await process.journal.open_operations() == []


async def test_an_unfinished_publishing_of_what_is_staged_no_more_goes(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await _leave_open(world, process, volume, "pod")
    process.host.kernel.attached.clear()
    process.host.kernel.mounts.clear()
    assert await process.node._recovery.settle_all() == 1
    await trio.sleep(PATIENCE_SECONDS)
    assert await process.node._recovery.settle_all() == 0
    assert await process.journal.open_operations() == []
    assert not Path(world.path("pod")).exists()
