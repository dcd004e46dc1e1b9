"""A volume's life through the controller's port, with nothing going wrong; and what each call costs."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import InvalidToken, NotFound
from rdscsi.model import GIB, MIB, CapacityRange
from rdscsi.simulator import ApplianceOptions, PoolOptions
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, wish
from rdscsi.testing.world import World, open_world


async def test_a_volume_lives_its_life(world: World, autojump_clock: MockClock) -> None:
    await _live(world)


@pytest.mark.parametrize("fs", ["xfs", "ext4"])
async def test_a_volume_lives_its_life_on_a_pool_without_subvolumes(
    fs: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    pool = ApplianceOptions(pool=PoolOptions(size=1024 * GIB, fs=fs), initial_uptime=60.0)  # type: ignore[arg-type]
    async with open_world(tmp_path, appliance=pool) as world:
        await _live(world)
        left = [entry.name for entry in world.appliance.storage.files.listing() if "/v" in entry.name]
        assert left == []


async def _live(world: World) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", 100))
        assert volume.capacity_bytes == MIB
        context = await controller.publish_volume(attach(volume))
        assert await controller.publish_volume(attach(volume)) == context
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(5 * MIB), None)
        assert grown.capacity_bytes == 5 * MIB
        assert grown.node_expansion_required
        listed = await controller.list_volumes(0, "")
        assert [one.published_node_ids for one in listed.volumes] == [(NODE_A,)]
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        await controller.delete_volume(volume.volume_id)
        assert (await controller.list_volumes(0, "")).volumes == ()
        assert await process.journal.open_operations() == []


async def test_a_volume_is_exported_only_while_it_is_published(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        assert _exported(world) == []
        context = await controller.publish_volume(attach(volume))
        assert _exported(world) == [context["subnqn"]]
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        assert _exported(world) == []


async def test_each_epoch_has_an_nqn_of_its_own(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        seen = set()
        for node in (NODE_A, NODE_B, NODE_A):
            seen.add((await controller.publish_volume(attach(volume, node)))["subnqn"])
            await controller.unpublish_volume(volume.volume_id, node)
        assert len(seen) == 3
        assert {names.slot_of_subnqn(one) for one in seen} == {volume.volume_id.partition("/")[2]}


async def test_the_cost_of_each_call_in_console_lines(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        lines: dict[str, int] = {}

        async def counted(name: str, call: Callable[[], Awaitable[object]]) -> object:
            before = len(world.appliance.history)
            answer = await call()
            lines[name] = len(world.appliance.history) - before
            return answer

        await counted("create", lambda: controller.create_volume(wish("pvc-1")))
        await counted("create again", lambda: controller.create_volume(wish("pvc-1")))
        volume_id = (await controller.list_volumes(0, "")).volumes[0].volume_id
        await counted("publish", lambda: controller.publish_volume(attach(volume_id)))
        await counted("expand", lambda: controller.expand_volume(volume_id, CapacityRange(GIB), None))
        await counted("list", lambda: controller.list_volumes(0, ""))
        await counted("capacity", lambda: controller.get_capacity({}, ()))
        await counted("unpublish", lambda: controller.unpublish_volume(volume_id, NODE_A))
        await counted("delete", lambda: controller.delete_volume(volume_id))
    assert lines == {
        "create": 1,
        "create again": 1,
        "publish": 1,
        "expand": 1,
        "list": 0,
        "capacity": 0,
        "unpublish": 1,
        "delete": 1,
    }


async def test_volumes_are_listed_in_pages_that_a_token_leads_through(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        made = {(await controller.create_volume(wish(f"pvc-{number}", MIB))).volume_id for number in range(7)}
        seen: list[str] = []
        token, pages = "", 0
        while True:
            page = await controller.list_volumes(3, token)
            assert len(page.volumes) <= 3
            seen += [one.volume_id for one in page.volumes]
            token, pages = page.next_token, pages + 1
            if not token:
                break
        assert (sorted(seen), len(seen), pages) == (sorted(made), 7, 3)
        with pytest.raises(InvalidToken):
            await controller.list_volumes(3, "tomorrow")


async def test_the_token_of_a_volume_that_is_gone_by_now_still_leads_on(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        for number in range(3):
            await controller.create_volume(wish(f"pvc-{number}", MIB))
        page = await controller.list_volumes(1, "")
        await controller.delete_volume(page.next_token)
        rest = await controller.list_volumes(0, page.next_token)
        assert len(rest.volumes) == 2


async def test_get_volume_tells_size_and_nodes_and_knows_what_is_absent(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1", 3 * MIB))
        await controller.publish_volume(attach(volume))
        found = await controller.get_volume(volume.volume_id)
        assert (found.capacity_bytes, found.published_node_ids, found.abnormal) == (3 * MIB, (NODE_A,), "")
        absent = names.volume_id("rds", controller.backend.slot("other"))
        for volume_id in (absent, "whatever"):
            with pytest.raises(NotFound):
                await controller.get_volume(volume_id)


def _exported(world: World) -> list[object]:
    return [disk.setting("nvme-tcp-server-nqn", "") for disk in world.appliance.storage.disks if disk.exported]
