"""NodeUnpublishVolume over a simulated machine."""

from pathlib import Path

import pytest
from staging_rig import at, staged
from trio.testing import MockClock

from rdscsi.errors import (
    NotPermittedNow,
    OperationPending,
)
from rdscsi.journal import changes
from rdscsi.testing.node import NodeProcess, NodeWorld


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
