"""A volume's life through the controller's port, with nothing going wrong; and what each call costs."""

from trio.testing import MockClock

from rdscsi.model import MIB, CapacityRange
from rdscsi.testing.orchestrator import NODE_A, attach, wish
from rdscsi.testing.world import World


async def test_a_volume_lives_its_life(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", 100))
        assert volume.capacity_bytes == MIB
        context = await controller.publish_volume(attach(volume))
        assert await controller.publish_volume(attach(volume)) == context
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(5 * MIB), None)
        assert grown.capacity_bytes == 5 * MIB
        listed = await controller.list_volumes(0, "")
        assert [one.published_node_ids for one in listed.volumes] == [(NODE_A,)]
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        await controller.delete_volume(volume.volume_id)
        assert (await controller.list_volumes(0, "")).volumes == ()
        assert await process.journal.open_operations() == []
