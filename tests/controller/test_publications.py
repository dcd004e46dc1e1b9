"""Publish and unpublish: who is let in, under which name, with which permit, and when the next one may come (law 8)."""

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import AlreadyExists, NotFinal, NotFound, NotPermittedNow, Refused
from rdscsi.model import AccessMode, AccessType, VolumeCapability
from rdscsi.tags import NodeState, Tag, parse_tag
from rdscsi.testing.orchestrator import BLOCK, FILESYSTEM, NODE_A, NODE_B, attach, settle, wish
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.world import Process, World


async def test_a_repeated_publish_returns_the_same_context_over_restarts_too(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        context = await process.controller.publish_volume(attach(volume))
        world.crash()
    async with world.process() as process:
        assert await process.controller.publish_volume(attach(volume)) == context


async def test_the_context_says_where_under_which_name_and_whether_it_may_be_formatted(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        context = names.parse_publish_context(await process.controller.publish_volume(attach(volume)))
    assert context.portals == world.options.portals
    assert context.format_permit != ""
    assert not context.readonly
    assert context.subnqn.endswith(context.format_permit)


@pytest.mark.parametrize("first", [FILESYSTEM, BLOCK])
async def test_a_permit_is_given_until_somebody_may_have_written(
    first: VolumeCapability, world: World, autojump_clock: MockClock
) -> None:
    """A volume that was published as a block device may hold anything, whatever the appliance sees in it."""
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        given = await controller.publish_volume(attach(volume, capability=first))
        assert ("formatPermit" in given) == (first is FILESYSTEM)
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        again = await controller.publish_volume(attach(volume))
        assert ("formatPermit" in again) == (first is FILESYSTEM)


async def test_no_permit_is_given_where_the_appliance_sees_a_filesystem(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        await controller.publish_volume(attach(volume))
        [disk] = [one for one in world.appliance.storage.disks if one.slot in volume.volume_id]
        with open(world.appliance.storage.files.path(disk.file_name), "r+b") as file:
            file.seek(1024 + 0x38)
            file.write(b"\x53\xef")  # the magic of ext4
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        assert "formatPermit" not in await controller.publish_volume(attach(volume))
        assert (await _tag(process, volume.volume_id)).blank is False


async def test_no_permit_is_given_for_a_read_only_publication(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        context = await process.controller.publish_volume(attach(volume, readonly=True))
        assert context["readonly"] == "true"
        assert "formatPermit" not in context


async def test_a_second_node_is_refused_by_name(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        with pytest.raises(NotPermittedNow, match=NODE_A):
            await process.controller.publish_volume(attach(volume, NODE_B))
        assert await process.journal.open_operations() == []


@pytest.mark.parametrize(
    ("capability", "readonly"),
    [
        (BLOCK, False),
        (FILESYSTEM, True),
        (VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_SINGLE_WRITER), False),
    ],
    ids=["block", "readonly", "mode"],
)
async def test_the_same_node_with_another_capability_is_refused(
    capability: VolumeCapability, readonly: bool, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        with pytest.raises(AlreadyExists, match="not as"):
            await process.controller.publish_volume(attach(volume, capability=capability, readonly=readonly))


async def test_what_is_not_there_is_not_found(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        absent = names.volume_id("rds", controller.backend.slot("other"))
        for volume_id, node_id in ((absent, NODE_A), ("nonsense", NODE_A), (volume.volume_id, "node-a:wrong")):
            with pytest.raises(NotFound):
                await controller.publish_volume(attach(volume_id, node_id))


@pytest.mark.parametrize("node_id", [NODE_A, NODE_B, "", "who:knows"])
async def test_unpublish_is_a_success_where_nothing_is_exported(
    node_id: str, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        absent = names.volume_id("rds", controller.backend.slot("other"))
        for volume_id in (volume.volume_id, absent, "nonsense"):
            await controller.unpublish_volume(volume_id, node_id)


async def test_unpublish_without_a_node_cuts_every_node_off(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, "")
        assert (await process.controller.get_volume(volume.volume_id)).published_node_ids == ()
        assert not any(disk.exported for disk in world.appliance.storage.disks)


async def test_unpublish_from_another_node_leaves_the_publication_alone(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, NODE_B)
        assert (await process.controller.get_volume(volume.volume_id)).published_node_ids == (NODE_A,)


async def test_unpublish_cuts_an_export_that_no_tag_knows_of(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        world.appliance.run(f"/disk/set [find where slot={slot}] nvme-tcp-export=yes")
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert not any(disk.exported for disk in world.appliance.storage.disks)


async def test_the_next_node_waits_until_the_cut_would_survive_a_power_loss(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        await controller.publish_volume(attach(volume))
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        cut_at = trio.current_time()
        await controller.publish_volume(attach(volume, NODE_B))
        assert trio.current_time() - cut_at >= world.options.flush_delay - 0.01


async def test_the_same_node_comes_back_without_waiting(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        await controller.publish_volume(attach(volume))
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        cut_at = trio.current_time()
        await controller.publish_volume(attach(volume))
        assert trio.current_time() - cut_at < 1.0


@pytest.mark.parametrize("statement", [1, 2, 3])
async def test_a_refused_publish_lets_nobody_in_and_is_final(
    statement: int, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.strikes.arm([Strike(Where.STATEMENT, 1, What.REFUSED, statement=statement)])
        with pytest.raises(Refused):
            await controller.publish_volume(attach(volume))
        assert not any(disk.exported for disk in world.appliance.storage.disks)
        assert (await _tag(process, volume.volume_id)).active_nodes == ()
        assert await process.journal.open_operations() == []
        await controller.publish_volume(attach(volume, NODE_B))


async def test_an_unpublish_takes_the_place_of_a_publish_that_was_left_open(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-after", contains="nvme-tcp-export=yes", times=1)
        with pytest.raises(NotFinal):
            await controller.publish_volume(attach(volume))
        await settle(lambda: controller.unpublish_volume(volume.volume_id, NODE_A))
        assert not any(disk.exported for disk in world.appliance.storage.disks)
        states = {one.kind: one.state for one in await process.journal.operations()}
        assert states == {"create": "done", "publish": "superseded", "unpublish": "done"}


async def test_nodes_with_long_names_are_told_of_by_their_whole_ids(world: World, autojump_clock: MockClock) -> None:
    node = names.node_id("a" * 119)
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume, node))
        [tagged] = (await _tag(process, volume.volume_id)).active_nodes
        assert tagged.node.startswith("#")
        assert tagged.state is NodeState.PUBLISHED
        listed = await process.controller.list_volumes(0, "")
        assert listed.volumes[0].published_node_ids == (node,)
        await process.controller.unpublish_volume(volume.volume_id, node)
        assert (await process.controller.get_volume(volume.volume_id)).published_node_ids == ()


async def _tag(process: Process, volume_id: str) -> Tag:
    record = await process.journal.volume(volume_id)
    assert record is not None
    tag = parse_tag(record.tag)
    assert tag is not None
    return tag
