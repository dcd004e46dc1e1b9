"""Two nodes on one block volume, as long as a virtual machine moves from one to the other (law 8)."""

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotPermittedNow
from rdscsi.model import AccessMode, AccessType, VolumeCapability
from rdscsi.tags import NodeState, parse_tag
from rdscsi.testing.orchestrator import BLOCK, NODE_A, NODE_B, NODE_C, SHARED, attach, wish
from rdscsi.testing.world import Process, World


async def _shared(process: Process, *nodes: str) -> str:
    volume = await process.controller.create_volume(wish("pvc-1"))
    for node in nodes:
        await process.controller.publish_volume(attach(volume, node, SHARED))
    return volume.volume_id


async def _states(process: Process, volume_id: str) -> dict[str, NodeState]:
    record = await process.journal.volume(volume_id)
    assert record is not None
    tag = parse_tag(record.tag)
    assert tag is not None
    assert tag.publication is not None
    return {node.node: node.state for node in tag.publication.nodes}


def _exported(world: World) -> bool:
    return any(disk.exported for disk in world.appliance.storage.disks)


async def test_both_nodes_are_given_the_same_context_over_restarts_too(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume_id = await _shared(process, NODE_A)
        first = await process.controller.publish_volume(attach(volume_id, NODE_A, SHARED))
        assert await process.controller.publish_volume(attach(volume_id, NODE_B, SHARED)) == first
        listed = await process.controller.get_volume(volume_id)
        assert listed.published_node_ids == (NODE_A, NODE_B)
        world.crash()
    async with world.process() as process:
        for node in (NODE_B, NODE_A):
            assert await process.controller.publish_volume(attach(volume_id, node, SHARED)) == first


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BLOCK, BLOCK),
        (BLOCK, SHARED),
        (SHARED, BLOCK),
        (SHARED, VolumeCapability(AccessType.MOUNT, AccessMode.MULTI_NODE_MULTI_WRITER)),
        (SHARED, VolumeCapability(AccessType.BLOCK, AccessMode.MULTI_NODE_SINGLE_WRITER)),
    ],
)
async def test_only_block_devices_that_both_want_to_write_are_shared(
    first: VolumeCapability, second: VolumeCapability, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume, NODE_A, first))
        with pytest.raises(NotPermittedNow, match=NODE_A):
            await process.controller.publish_volume(attach(volume, NODE_B, second))


async def test_a_third_node_is_refused_by_the_names_of_the_two(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume_id = await _shared(process, NODE_A, NODE_B)
        with pytest.raises(NotPermittedNow, match=f"{NODE_A} and {NODE_B}"):
            await process.controller.publish_volume(attach(volume_id, NODE_C, SHARED))
        assert await process.journal.open_operations() == []


async def test_whoever_leaves_first_is_dirty_and_keeps_a_third_one_out(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume_id = await _shared(process, NODE_A, NODE_B)
        for _ in range(2):
            await controller.unpublish_volume(volume_id, NODE_A)
        assert await _states(process, volume_id) == {NODE_A: NodeState.DIRTY, NODE_B: NodeState.PUBLISHED}
        assert (await controller.get_volume(volume_id)).published_node_ids == (NODE_B,)
        assert _exported(world)
        with pytest.raises(NotPermittedNow, match=f"{NODE_A} had it .* nothing cut it off"):
            await controller.publish_volume(attach(volume_id, NODE_C, SHARED))


async def test_the_dirty_one_may_come_back(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume_id = await _shared(process, NODE_A, NODE_B)
        context = await controller.publish_volume(attach(volume_id, NODE_B, SHARED))
        await controller.unpublish_volume(volume_id, NODE_A)
        assert await controller.publish_volume(attach(volume_id, NODE_A, SHARED)) == context
        await controller.unpublish_volume(volume_id, NODE_B)
        assert await _states(process, volume_id) == {NODE_A: NodeState.PUBLISHED, NODE_B: NodeState.DIRTY}


async def test_when_the_last_one_leaves_all_are_cut_off_and_the_next_epoch_is_clean(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume_id = await _shared(process, NODE_A, NODE_B)
        context = await controller.publish_volume(attach(volume_id, NODE_B, SHARED))
        for node in (NODE_A, NODE_B):
            await controller.unpublish_volume(volume_id, node)
        cut_at = trio.current_time()
        assert not _exported(world)
        assert await _states(process, volume_id) == {NODE_A: NodeState.DIRTY, NODE_B: NodeState.LEFT}
        after = await controller.publish_volume(attach(volume_id, NODE_C, SHARED))
        assert trio.current_time() - cut_at >= world.options.flush_delay - 0.01
        assert after["subnqn"] != context["subnqn"]
        assert await _states(process, volume_id) == {NODE_C: NodeState.PUBLISHED}


async def test_without_a_node_both_are_cut_off(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume_id = await _shared(process, NODE_A, NODE_B)
        await process.controller.unpublish_volume(volume_id, "")
        assert not _exported(world)
        assert await _states(process, volume_id) == {NODE_A: NodeState.LEFT, NODE_B: NodeState.LEFT}
        await process.controller.delete_volume(volume_id)
