"""What kubelet forgot is taken off: only when it is unused, its export withdrawn for long, and nothing else is open."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
from staging_rig import AFTER, assert_nothing_staged, assert_staged, forgotten, leave_open, pass_time, staged, staging
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable
from rdscsi.host.ports import Mount
from rdscsi.journal import changes
from rdscsi.model import AccessType
from rdscsi.node import clearing, disuse
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

KINDS = [AccessType.MOUNT, AccessType.BLOCK]


@pytest.mark.parametrize("access_type", KINDS)
async def test_what_was_forgotten_is_taken_off_and_not_before_its_time(
    world: NodeWorld, process: NodeProcess, access_type: AccessType, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process, access_type=access_type)
    await pass_time(process, 1.4 * AFTER)  # looked at twice
    await assert_staged(process, volume)
    await pass_time(process)
    await assert_nothing_staged(process)
    (last,) = await process.journal.operations(limit=1)
    assert (last.kind, last.state, last.request["forgotten"]) == ("unstage", "done", volume.subnqn)
    await process.node.unstage(volume.volume_id, staging(world, volume))  # whoever comes after all


async def test_the_connection_is_cut_before_the_unmount_can_write(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await forgotten(world, process)
    process.life.effects.clear()
    await pass_time(process)
    assert process.life.effects[:4] == ["commit", "commit", "disconnect", "unmount"]


async def test_the_mount_of_a_device_that_is_gone_goes_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await forgotten(world, process)
    process.host.kernel.attached.clear()
    await pass_time(process)
    await assert_nothing_staged(process)


async def test_a_record_that_a_reboot_left_goes(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await forgotten(world, process)
        process.host.kernel.reboot()
    async with world.process() as process:
        assert [one.volume_id for one in await process.journal.stages()] == [volume.volume_id]
        await pass_time(process)
        await assert_nothing_staged(process)


# --- each condition by itself keeps it


async def _nothing(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    world.exporter.export(volume.subnqn, volume.file)


async def _published(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    await process.node.publish(world.publish_request(volume))


async def _published_unrecorded(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    await process.node.publish(world.publish_request(volume))
    await process.journal.commit(changes.drop_target(world.path("pod")))


async def _published_unmounted(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.mounts[:] = process.host.kernel.mounts[:1]  # its directory is there still


async def _held(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.held[volume.subnqn] = ("loop device /dev/loop7 is attached to it",)


async def _unreachable(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.unreachable = True


async def _connecting(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.connecting.add(volume.subnqn)


async def _foreign_mount(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    strange = Mount(staging(world, volume), (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))
    process.host.kernel.mounts.append(strange)


async def _other_cluster(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    (record,) = await process.journal.stages()
    other = names.volume_id("rds", names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"))
    await process.journal.commit(
        changes.drop_stage(volume.volume_id), changes.put_stage(replace(record, volume_id=other))
    )


async def _other_epoch(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    """Connected too, offered, and used by nobody that is seen."""
    other = names.subnqn(volume.slot, names.epoch(b"other one."))
    world.exporter.export(other, volume.file)
    await process.host.connect(process.node._machine.connection(other, ()))


Way = Callable[[NodeWorld, NodeProcess, NodeVolume], Awaitable[None]]
WAYS: list[Way] = [
    _nothing,
    _published,
    _published_unrecorded,
    _published_unmounted,
    _held,
    _unreachable,
    _connecting,
    _foreign_mount,
    _other_cluster,
    _other_epoch,
]


@pytest.mark.parametrize("keep", WAYS)
async def test_nothing_is_taken_off_without_proof(
    world: NodeWorld, process: NodeProcess, keep: Way, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    world.exporter.withdraw(volume.subnqn)
    await keep(world, process, volume)
    before, process.life.effects[:] = len(process.host.kernel.mounts), []
    await pass_time(process)
    assert volume.subnqn in process.host.kernel.attached
    assert len(process.host.kernel.mounts) == before
    assert [one.state for one in await process.journal.stages()] == ["staged"]
    assert process.life.effects == []


async def test_a_block_device_at_a_target_keeps_it_also_when_its_own_device_is_gone(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process, access_type=AccessType.BLOCK)
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.attached.clear()
    process.host.kernel.nodes.clear()  # what is there is a plain file
    await pass_time(process)
    assert [one.state for one in await process.journal.stages()] == ["staged"]


async def test_a_dead_bind_without_a_record_keeps_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    await _published_unrecorded(world, process, volume)
    process.host.kernel.attached.clear()
    await pass_time(process)
    assert len(process.host.kernel.mounts) == 2


async def test_a_publishing_that_is_not_finished_keeps_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    await leave_open(world, process, volume, "pod")
    (record,) = await process.journal.stages()
    scene = await clearing.look(process.node._machine, volume.slot)
    users = await disuse.find_users(process.node._machine, record, scene)
    assert users == [f"published at {world.path('pod')} (begun, not finished)"]
    for _ in range(8):
        await process.node._sweep.look()
        await trio.sleep(AFTER)
    await assert_staged(process, volume)
    await pass_time(process)  # recovery closes it, and then there is nothing to wait for
    await assert_nothing_staged(process)


async def test_an_open_operation_of_the_volume_keeps_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    with pytest.raises(DeviceUnavailable):
        await process.node.expand(world.expand_request(volume, staging(world, volume), 2 * volume.size_bytes))
    for _ in range(8):
        await process.node._sweep.look()
        await trio.sleep(AFTER)
    await assert_staged(process, volume)
    assert [one.kind for one in await process.journal.open_operations()] == ["node-expand"]


async def test_an_unpublishing_that_is_not_finished_keeps_it(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await staged(world, process)
        await process.node.publish(world.publish_request(volume))
    async with world.process(Life("die before", 3)) as process:  # intent, unmount, removal, and then the commit
        await process.node.unpublish(volume.volume_id, world.path("pod"))
    world.exporter.withdraw(volume.subnqn)
    async with world.process() as process:
        assert [one.kind for one in await process.journal.open_operations()] == ["node-unpublish"]
        for _ in range(8):
            await process.node._sweep.look()
            await trio.sleep(AFTER)
        await assert_staged(process, volume)


async def test_a_look_that_says_otherwise_begins_the_wait_anew(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)

    async def offered(there: bool) -> None:
        (world.exporter.export if there else lambda *_: None)(volume.subnqn, volume.file)

    async def reachable(there: bool) -> None:
        process.host.trouble.unreachable = not there

    for change in (offered, reachable):
        await process.node._sweep.look()
        await trio.sleep(0.9 * AFTER)
        await change(change is offered)
        await process.node._sweep.look()
        world.exporter.withdraw(volume.subnqn)
        process.host.trouble.unreachable = False
        for _ in range(2):
            await process.node._sweep.look()
            await trio.sleep(0.9 * AFTER)
        await assert_staged(process, volume)
        await trio.sleep(AFTER)
        process.node._sweep._withdrawn.clear()
    for _ in range(2):
        await process.node._sweep.look()
        await trio.sleep(AFTER)
    await assert_nothing_staged(process)


async def test_a_new_start_waits_anew(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await forgotten(world, process)
        await pass_time(process, 1.4 * AFTER)
    async with world.process() as process:
        await pass_time(process, 1.4 * AFTER)
        await assert_staged(process, volume)


async def test_connections_that_cannot_be_read_begin_the_wait_anew(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    connected = process.host.connected

    async def unknown(prefix: str) -> None:
        raise DeviceUnavailable("no sysfs")

    await process.node._sweep.look()
    process.host.connected = unknown  # type: ignore[method-assign, assignment]
    await process.node._sweep.look()
    process.host.connected = connected  # type: ignore[method-assign]
    await trio.sleep(AFTER)
    await process.node._sweep.look()
    await assert_staged(process, volume)
