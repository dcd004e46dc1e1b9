"""What a start makes of what the last one left: after a crash, after a reboot, with a bad record among good ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from rdscsi import names
from rdscsi.config import NodeSettings
from rdscsi.csi.ports import NodePort
from rdscsi.errors import (
    Busy,
    DeviceUnavailable,
    FormatRefused,
    JournalFailed,
    NotPermittedNow,
    OperationPending,
)
from rdscsi.host.simulated import disk
from rdscsi.journal import changes, open_journal
from rdscsi.model import AccessType
from rdscsi.node.node import open_node
from rdscsi.node.recovery import PATIENCE_SECONDS, ROUND_SECONDS, begin
from rdscsi.operations import Operations
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeWorld


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@asynccontextmanager
async def recovering(world: NodeWorld) -> AsyncIterator[NodeProcess]:
    async with world.process() as process, trio.open_nursery() as nursery:
        nursery.start_soon(process.node.recover)
        yield process
        nursery.cancel_scope.cancel()


async def test_the_node_half_is_what_the_edge_asks_for(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    async with world.process() as process:
        port: NodePort = process.node
        assert port.ready()
        assert port.node_id.startswith("node-a:")
        assert port.max_volumes_per_node == 0
        assert process.node.host.backend == "simulated"


async def test_after_a_reboot_nothing_is_staged_and_staging_begins_anew(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    filesystem, block = world.volume(), world.volume("pvc-2", access_type=AccessType.BLOCK)
    async with world.process() as process:
        for volume, pod in ((filesystem, "pod-1"), (block, "pod-2")):
            await process.node.stage(world.stage_request(volume))
            await process.node.publish(world.publish_request(volume, pod))
        process.host.kernel.reboot()
    assert Path(world.path("pod-2")).exists()
    async with world.process() as process:
        assert not Path(world.path("pod-2")).exists()  # its number is anybody's now
        assert {record.state for record in await process.journal.stages()} == {"unstaging"}
        with pytest.raises(NotPermittedNow, match="unstaging"):
            await process.node.publish(world.publish_request(filesystem, "pod-1"))
        for volume, pod in ((filesystem, "pod-1"), (block, "pod-2")):
            await process.node.stage(world.stage_request(volume))
            await process.node.publish(world.publish_request(volume, pod))
        assert len(process.host.kernel.mounts) == 2
        assert process.life.effects.count("make_filesystem") == 0


async def test_after_a_reboot_a_volume_may_be_staged_in_another_way_or_unstaged(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = world.volume(), world.volume("pvc-2")
    async with world.process() as process:
        for volume in (first, second):
            await process.node.stage(world.stage_request(volume))
        process.host.kernel.reboot()
    async with world.process() as process:
        first.capability = replace(first.capability, mount_flags=("noatime",))
        await process.node.stage(replace(world.stage_request(first), staging_target_path=world.path("moved")))
        await process.node.unstage(second.volume_id, world.path("pvc-2-staged"))
        assert [record.volume_id for record in await process.journal.stages()] == [first.volume_id]


async def test_a_restart_without_a_reboot_keeps_what_is_staged(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
        await process.node.publish(world.publish_request(volume))
    async with world.process() as process:
        assert [record.state for record in await process.journal.stages()] == ["staged"]
        assert Path(world.path("pod")).exists()
        await process.node.publish(world.publish_request(volume))


async def test_a_half_made_stage_waits_for_its_caller_and_goes_without_him(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    async with world.process(Life("die inside", 4)) as process:  # in the middle of mkfs
        await process.node.stage(world.stage_request(volume))
    async with recovering(world) as process:
        await trio.sleep(PATIENCE_SECONDS / 2)
        assert volume.subnqn in process.host.kernel.attached
        await trio.sleep(PATIENCE_SECONDS)
        assert process.host.kernel.attached == {}
        assert await process.journal.open_operations() == []
        assert (await process.journal.operations(limit=1))[0].state == "refused"
        await process.node.stage(world.stage_request(volume))  # and the stamp lets it be made again
        assert await process.journal.open_operations() == []


async def test_a_caller_who_goes_on_asking_is_waited_for(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    world.exporter.withdraw(volume.subnqn)
    async with recovering(world) as process:
        for _ in range(20):
            with pytest.raises((DeviceUnavailable, Busy)):
                await process.node.stage(world.stage_request(volume))
            await trio.sleep(PATIENCE_SECONDS / 11)
        (operation,) = await process.journal.operations()
        assert (operation.state, operation.attempts) == ("open", 20)


async def test_one_bad_record_stops_one_volume(world: NodeWorld, autojump_clock: trio.testing.MockClock) -> None:
    good, bad = world.volume("pvc-1"), world.volume("pvc-2")
    async with world.process() as process:
        for volume in (good, bad):
            await process.node.stage(world.stage_request(volume))
    for volume in (bad, good):
        async with world.process(Life("die after", 1)) as process:  # the intents are there
            await process.node.unstage(volume.volume_id, world.path(f"{volume.name}-staged"))
    async with world.process() as process:
        process.host.trouble.hung.add(world.path("pvc-2-staged"))
        assert await process.node._recovery.settle_all() == 1
        assert [record.volume_id for record in await process.journal.stages()] == [bad.volume_id]
        process.host.trouble.hung.clear()
        assert await process.node._recovery.settle_all() == 0
        assert process.host.kernel.attached == {}


async def test_operations_of_another_version_are_left_open(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    async with world.process() as process:
        with pytest.raises(OperationPending):
            async with process.journal.operation("node-from-the-future", "subject", {}):
                raise RuntimeError
        assert await process.node._recovery.settle_all() == 1
        assert len(await process.journal.open_operations()) == 1


async def test_a_record_that_cannot_be_read_is_left_open(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        for kind, subject in (("stage", volume.volume_id), ("node-publish", "/pod"), ("unstage", "rds/x")):
            with pytest.raises(OperationPending):
                async with process.journal.operation(kind, subject, {"nothing": "known"}):
                    raise RuntimeError
        assert await process.node._recovery.settle_all() == 3
        other = world.volume("pvc-2", access_type=AccessType.BLOCK)
        await process.node.stage(world.stage_request(other))
        await process.node.publish(world.publish_request(other))
        await process.node.unpublish(other.volume_id, world.path("pod"))
        await process.node.unstage(other.volume_id, world.path("pvc-2-staged"))


async def test_an_operation_that_its_caller_has_in_hand_is_left_to_him(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
        world.grow(volume, volume.size_bytes)
        request = world.expand_request(volume, world.path("pvc-1-staged"), 2 * volume.size_bytes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_unavailable, process, request)
            await trio.sleep(1)
            assert await process.node._recovery.settle_all() == 1
        assert await process.journal.open_operations() != []
        world.grow(volume, 2 * volume.size_bytes)
        assert await process.node._recovery.settle_all() == 0


async def _expect_unavailable(process: NodeProcess, request: object) -> None:
    with pytest.raises(DeviceUnavailable):
        await process.node.expand(request)  # type: ignore[arg-type]


async def test_an_expansion_of_what_is_staged_no_more_is_closed(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
        with pytest.raises(DeviceUnavailable):
            await process.node.expand(world.expand_request(volume, world.path("pvc-1-staged"), 2 * volume.size_bytes))
        process.host.kernel.reboot()
    async with world.process() as process:
        assert await process.node._recovery.settle_all() == 0
        assert (await process.journal.operations(limit=1))[0].state == "refused"


async def test_an_operation_that_was_closed_meanwhile_is_not_opened_again(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume()
    async with world.process(Life("die after", 2)) as process:
        await process.node.stage(world.stage_request(volume))
    async with world.process() as process:
        found = await process.journal.open_operations()
        await process.node.unstage(volume.volume_id, world.path("pvc-1-staged"))
        before = len(await process.journal.operations())
        assert await process.node._recovery._settled(found[0])
        assert len(await process.journal.operations()) == before


async def test_recovery_ends_with_the_journal(world: NodeWorld, autojump_clock: trio.testing.MockClock) -> None:
    volume = world.volume()
    async with world.process(Life("die after", 2)) as process:
        await process.node.stage(world.stage_request(volume))
    async with world.process() as process:
        (found,) = await process.journal.open_operations()

        async def fail(*_: object) -> None:
            raise JournalFailed("the disk is gone")

        process.node._recovery._operations.run = fail  # type: ignore[method-assign, assignment]
        with pytest.raises(JournalFailed):
            await process.node._recovery._settled(found)


async def test_connections_of_nobody_are_told_and_left_alone(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume, known = world.volume(), world.volume("pvc-2")
    async with world.process() as process:
        for one in (volume, known):
            await process.node.stage(world.stage_request(one))
        await process.journal.commit(changes.drop_stage(volume.volume_id))
    async with recovering(world) as process:
        await trio.sleep(3 * ROUND_SECONDS)
        assert volume.subnqn in process.host.kernel.attached

        async def unknown(prefix: str) -> None:
            raise DeviceUnavailable("no sysfs")

        process.host.connected = unknown  # type: ignore[method-assign, assignment]
        await process.node._recovery._tell_orphans()


async def test_a_start_is_safe_to_repeat(world: NodeWorld, autojump_clock: trio.testing.MockClock) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
        await begin(process.node._machine)
        assert [record.state for record in await process.journal.stages()] == ["staged"]


async def test_a_bad_path_does_not_stop_every_volume(world: NodeWorld, autojump_clock: trio.testing.MockClock) -> None:
    first, second = world.volume("pvc-1", access_type=AccessType.BLOCK), world.volume("pvc-2")
    async with world.process() as process:
        await process.node.stage(world.stage_request(first))
        await process.node.publish(world.publish_request(first))
        path_state = process.host.path_state

        async def hangs(path: str) -> object:
            if path == world.path("pod"):
                raise DeviceUnavailable("no answer within 10 s")
            return await path_state(path)

        process.host.path_state = hangs  # type: ignore[method-assign, assignment]
        await process.node.stage(world.stage_request(second))


async def test_a_stage_that_was_refused_while_nobody_looked_is_closed_as_refused(
    world: NodeWorld, autojump_clock: trio.testing.MockClock
) -> None:
    volume = world.volume(permit=False)
    async with world.process(Life("die after", 2)) as process:  # connected
        await process.node.stage(world.stage_request(volume))
    async with world.process() as process:
        with pytest.raises(FormatRefused):
            await process.node.stage(world.stage_request(volume))
        assert process.host.kernel.attached == {}
        assert disk.is_blank(volume.file, volume.size_bytes)


async def test_a_node_half_opens_from_its_settings(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    settings = NodeSettings(node_name="worker-1", host_backend="simulated", max_volumes_per_node=7)
    async with open_journal(tmp_path / "node.db", inline=True) as journal, trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=60)
        async with open_node(settings, cluster_id="c", journal=journal, operations=operations) as node:
            assert node.node_id == names.node_id("worker-1")
            assert node.max_volumes_per_node == 7
            nursery.start_soon(node.recover)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
