"""NodePublishVolume over a simulated machine: block volumes, and what a machine may do meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from staging_rig import leave_open, staged
from trio.testing import MockClock

from rdscsi.errors import (
    DeviceUnavailable,
    NotPermittedNow,
    OperationPending,
    OutcomeUnknown,
)
from rdscsi.journal import changes
from rdscsi.model import AccessType
from rdscsi.node.recovery import PATIENCE_SECONDS
from rdscsi.testing.node import NodeProcess, NodeWorld

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
    await leave_open(world, process, volume, "pod")
    process.host.kernel.attached.clear()
    process.host.kernel.mounts.clear()
    assert await process.node._recovery.settle_all() == 1
    await trio.sleep(PATIENCE_SECONDS)
    assert await process.node._recovery.settle_all() == 0
    assert await process.journal.open_operations() == []
    assert not Path(world.path("pod")).exists()
