"""NodeStageVolume over a simulated machine: older epochs, and errors on the way."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from staging_rig import MKFS, assert_nothing_staged, staging
from trio.testing import MockClock

from rdscsi.errors import (
    DeviceUnavailable,
    FormatRefused,
    NotPermittedNow,
    OperationPending,
)
from rdscsi.host.ports import Mount
from rdscsi.journal import changes
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeWorld

# --- epochs


async def test_a_newer_epoch_first_clears_the_older_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    older = volume.subnqn
    world.publish(volume)
    volume.permit = False
    await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [volume.subnqn] != [older]
    assert len(process.host.kernel.mounts) == 1
    (record,) = await process.journal.stages()
    assert (record.subnqn, record.state) == (volume.subnqn, "staged")


async def test_an_older_epoch_that_is_still_published_is_not_cleared(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    older = volume.subnqn
    world.publish(volume)
    with pytest.raises(NotPermittedNow, match="pod"):
        await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [older]
    assert len(process.host.kernel.mounts) == 2
    (record,) = await process.journal.stages()
    assert (record.subnqn, record.state) == (older, "staged")
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await process.node.stage(world.stage_request(volume))


async def test_an_older_epoch_without_a_record_is_cleared_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.publish(volume)
    await process.node.stage(world.stage_request(volume))
    assert list(process.host.kernel.attached) == [volume.subnqn]


async def test_a_half_made_staging_elsewhere_is_cleared_before_it_is_made_here(
    world: NodeWorld, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    request = world.stage_request(volume)
    async with world.process(Life("die after", 7)) as process:  # the mount, the last effect but the commit
        await process.node.stage(request)
    async with world.process() as process:
        assert len(process.host.kernel.mounts) == 1
        moved = replace(request, staging_target_path=world.path("moved"))
        await process.node.stage(moved)
        assert [mount.mount_point for mount in process.host.kernel.mounts] == [world.path("moved")]


# --- errors on the way


async def test_a_volume_that_nobody_offers_stays_wanted_until_it_is(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    world.exporter.withdraw(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.stage(world.stage_request(volume))
    (operation,) = await process.journal.open_operations()
    assert operation.kind == "stage"
    world.exporter.export(volume.subnqn, volume.file)
    await process.node.stage(world.stage_request(volume))
    assert await process.journal.open_operations() == []


async def test_a_refused_volume_that_somebody_holds_meanwhile_stays_open(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    process.host.trouble.held[volume.subnqn] = ("dm-0 stands on it",)
    with pytest.raises(OperationPending, match="dm-0"):
        await process.node.stage(world.stage_request(volume))
    assert volume.subnqn in process.host.kernel.attached
    process.host.trouble.held.clear()
    with pytest.raises(FormatRefused):
        await process.node.stage(world.stage_request(volume))
    await assert_nothing_staged(process)


async def test_a_staging_path_that_is_a_file_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    Path(staging(world, volume)).write_text("somebody's")
    with pytest.raises(NotPermittedNow):
        await process.node.stage(world.stage_request(volume))
    assert Path(staging(world, volume)).read_text() == "somebody's"
    await assert_nothing_staged(process)


async def test_two_stages_of_one_volume_at_once_are_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume())
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(process.node.stage, request)
    assert process.life.effects.count(MKFS) == 1
    assert len(await process.journal.operations()) == 1


async def test_a_context_option_reaches_the_mount_byte_for_byte(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    label = 'context="system_u:object_r:container_file_t:s0:c1,c2"'
    seen: list[tuple[str, ...]] = []
    mount = process.host.mount

    async def watched(device: object, path: str, fs_type: str, options: tuple[str, ...]) -> None:
        seen.append(options)
        await mount(device, path, fs_type, options)  # type: ignore[arg-type]

    process.host.mount = watched  # type: ignore[method-assign, assignment]
    await process.node.stage(world.stage_request(world.volume(flags=("noatime,nodev", label))))
    assert seen == [("noatime", "nodev", label)]


async def test_a_mount_that_does_not_show_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    async def nothing(*_: object) -> None:
        pass

    process.host.mount = nothing  # type: ignore[method-assign, assignment]
    with pytest.raises(OperationPending, match="not to be seen there"):
        await process.node.stage(world.stage_request(world.volume()))


async def test_a_refused_volume_under_a_strangers_mount_stays_open(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """What is ours there cannot be reached, so it cannot be taken off; and what is mounted is never disconnected."""
    volume = world.volume()
    mount = process.host.mount

    async def and_over_it(*arguments: object) -> None:
        await mount(*arguments)  # type: ignore[arg-type]
        strange = Mount(staging(world, volume), (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))
        process.host.kernel.mounts.append(strange)

    process.host.mount = and_over_it  # type: ignore[method-assign, assignment]
    with pytest.raises(OperationPending, match="not this volume"):
        await process.node.stage(world.stage_request(volume))
    assert volume.subnqn in process.host.kernel.attached
    process.host.kernel.mounts.pop()
    await process.node.stage(world.stage_request(volume))


async def test_a_death_while_an_older_epoch_is_cleared_is_made_up_for(
    world: NodeWorld, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(world.stage_request(volume))
    world.publish(volume)
    volume.permit = False
    async with world.process(Life("die before", 2)) as process:  # intent, unmount, and then the disconnection
        await process.node.stage(world.stage_request(volume))
    async with world.process() as process:
        assert (await process.journal.stages())[0].subnqn != volume.subnqn
        assert await process.node._recovery.settle_all() == 1
        await process.node.stage(world.stage_request(volume))
        assert list(process.host.kernel.attached) == [volume.subnqn]
        assert await process.journal.open_operations() == []
