"""NodeUnstageVolume over a simulated machine: success is proven, and whoever uses the volume is named."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import InvalidRequest, JournalFailed, NotPermittedNow, OperationPending, OutcomeUnknown
from rdscsi.host.ports import Mount
from rdscsi.journal import changes
from rdscsi.model import AccessType
from rdscsi.node import disuse, unstaging
from rdscsi.node.clearing import Scene
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

STRANGE = Mount("/elsewhere", (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


async def staged(world: NodeWorld, process: NodeProcess, access_type: AccessType = AccessType.MOUNT) -> NodeVolume:
    volume = world.volume(access_type=access_type)
    await process.node.stage(world.stage_request(volume))
    return volume


async def unstage(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    await process.node.unstage(volume.volume_id, world.path(f"{volume.name}-staged"))


async def assert_gone(process: NodeProcess) -> None:
    kernel = process.host.kernel
    assert (kernel.attached, kernel.mounts) == ({}, [])
    assert await process.journal.stages() == []
    assert await process.journal.open_operations() == []


# --- nothing there


async def test_what_was_never_staged_is_unstaged(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await unstage(world, process, volume)
    await process.node.unstage("whatever", world.path("pvc-1-staged"))
    assert await process.journal.operations() == []


async def test_an_unknown_id_does_not_take_off_what_is_mounted(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    process.host.kernel.mounts.append(STRANGE)
    with pytest.raises(NotPermittedNow, match="no volume of this driver"):
        await process.node.unstage("whatever", "/elsewhere")
    other = names.volume_id("rds", names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"))
    with pytest.raises(InvalidRequest):
        await process.node.unstage(other, "/elsewhere")
    assert process.host.kernel.mounts == [STRANGE]


async def test_the_directory_stays_for_whoever_made_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await unstage(world, process, volume)
    assert Path(world.path("pvc-1-staged")).is_dir()
    await assert_gone(process)


async def test_stacked_mounts_all_come_off(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await staged(world, process)
    process.host.kernel.mounts.extend(process.host.kernel.mounts * 3)
    await unstage(world, process, volume)
    await assert_gone(process)


async def test_every_epoch_of_the_volume_is_disconnected(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    world.publish(volume)
    connection = process.node._machine.connection(volume.subnqn, ())
    await process.host.connect(connection)
    assert len(process.host.kernel.attached) == 2
    await unstage(world, process, volume)
    await assert_gone(process)


# --- somebody there


async def test_a_published_volume_stays_and_the_path_is_named(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    for access_type in (AccessType.MOUNT, AccessType.BLOCK):
        volume = await staged(world, process, access_type)
        await process.node.publish(world.publish_request(volume))
        with pytest.raises(NotPermittedNow, match=world.path("pod")):
            await unstage(world, process, volume)
        assert volume.subnqn in process.host.kernel.attached
        assert (await process.journal.stages())[0].state == "staged"
        assert await process.journal.open_operations() == []
        await process.node.unpublish(volume.volume_id, world.path("pod"))
        await unstage(world, process, volume)
        volume.file.unlink()


async def test_a_dead_bind_keeps_a_volume_staged(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.attached.clear()
    with pytest.raises(NotPermittedNow, match="pod"):
        await unstage(world, process, volume)


async def test_a_stale_record_of_a_target_keeps_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process, AccessType.BLOCK)
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.nodes.clear()
    await unstage(world, process, volume)
    assert await process.journal.targets() == []


async def test_an_unfinished_publishing_keeps_a_volume_staged(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.life.at, process.life.fault = len(process.life.effects) + 1, "unknown before"
    with pytest.raises(OutcomeUnknown):
        await process.node.publish(world.publish_request(volume))
    with pytest.raises(NotPermittedNow, match="begun, not finished"):
        await unstage(world, process, volume)
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await unstage(world, process, volume)


async def test_holders_keep_a_volume_staged(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await staged(world, process)
    process.host.trouble.held[volume.subnqn] = ("loop device /dev/loop7 is attached to it",)
    with pytest.raises(NotPermittedNow, match="/dev/loop7"):
        await unstage(world, process, volume)
    assert len(process.host.kernel.mounts) == 1


async def test_a_holder_that_shows_after_the_unmount_keeps_the_connection(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    unmount = process.host.unmount

    async def and_show(mount_point: str) -> None:
        await unmount(mount_point)
        process.host.trouble.held[volume.subnqn] = ("a mount in another mount namespace",)

    process.host.unmount = and_show  # type: ignore[method-assign]
    with pytest.raises(OperationPending, match="another mount namespace"):
        await unstage(world, process, volume)
    assert volume.subnqn in process.host.kernel.attached
    assert (await process.journal.stages())[0].state == "unstaging"
    with pytest.raises(NotPermittedNow):
        await unstage(world, process, volume)
    process.host.trouble.held.clear()
    await unstage(world, process, volume)
    await assert_gone(process)


async def test_a_user_who_comes_after_the_look_is_named_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    holders = process.host.holders
    looks: list[object] = []

    async def late(device: object) -> tuple[str, ...]:
        looks.append(device)
        return ("late",) if len(looks) > 1 else await holders(device)  # type: ignore[arg-type]

    process.host.holders = late  # type: ignore[method-assign]
    with pytest.raises(NotPermittedNow, match="late"):
        await unstage(world, process, volume)
    assert (await process.journal.stages())[0].state == "staged"
    assert await process.journal.open_operations() == []


async def test_a_user_in_the_middle_of_an_unstage_leaves_it_open(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await staged(world, process)
    async with world.process(Life("die before", 2)) as process:  # intent, record, and then the unmount
        await unstage(world, process, volume)
    async with world.process() as process:
        assert (await process.journal.stages())[0].state == "unstaging"
        process.host.trouble.held[volume.subnqn] = ("somebody",)
        await process.node._recovery.settle_all()
        assert len(await process.journal.open_operations()) == 1
        process.host.trouble.held.clear()
        await process.node._recovery.settle_all()
        await assert_gone(process)


async def test_a_stranger_at_the_staging_path_stays(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    strange = replace(STRANGE, mount_point=world.path("pvc-1-staged"))
    process.host.kernel.mounts.append(strange)
    with pytest.raises(NotPermittedNow, match="not this volume"):
        await unstage(world, process, volume)
    assert strange in process.host.kernel.mounts


# --- another path


async def test_another_path_than_the_staged_one_is_no_success(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    with pytest.raises(NotPermittedNow, match="is staged at"):
        await process.node.unstage(volume.volume_id, world.path("elsewhere"))
    assert len(process.host.kernel.mounts) == 1
    process.host.kernel.mounts.clear()
    process.host.kernel.attached.clear()  # nothing of it is left, so the path makes no difference
    await process.node.unstage(volume.volume_id, world.path("elsewhere"))
    await assert_gone(process)


# --- without a record


async def test_a_lost_record_is_not_needed(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await staged(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    await unstage(world, process, volume)
    await assert_gone(process)


async def test_the_mount_of_a_device_that_is_gone_comes_off_without_a_record(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    process.host.kernel.attached.clear()
    await unstage(world, process, volume)
    await assert_gone(process)


async def test_a_connecting_controller_is_disconnected(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    await unstage(world, process, volume)
    await assert_gone(process)


# --- fenced


async def test_an_unmount_that_hangs_is_freed_once_the_epoch_is_offered_no_more(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.hung.add(world.path("pvc-1-staged"))
    with pytest.raises(OutcomeUnknown, match="umount"):
        await unstage(world, process, volume)
    assert volume.subnqn in process.host.kernel.attached
    process.host.trouble.unreachable = True  # then nothing is known, and nothing is cut
    with pytest.raises(OutcomeUnknown, match="umount"):
        await unstage(world, process, volume)
    process.host.trouble.unreachable = False
    world.exporter.withdraw(volume.subnqn)
    await unstage(world, process, volume)
    await assert_gone(process)
    (last,) = await process.journal.operations(limit=1)
    told = await process.journal.operation_record(last.id)
    assert told is not None
    assert any(step.name == "fenced" and "may be lost" in step.detail for step in told.steps)


async def test_a_hung_unmount_without_a_record_is_never_cut(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.exporter.withdraw(volume.subnqn)
    process.host.trouble.hung.add(world.path("pvc-1-staged"))
    with pytest.raises(OutcomeUnknown):
        await unstage(world, process, volume)
    assert volume.subnqn in process.host.kernel.attached


async def test_a_journal_that_fails_is_no_proof_of_anything(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the process; taken for a volume in use, it would be asked again and again."""
    volume = await staged(world, process)
    [record] = await process.journal.stages()

    async def failing(*_arguments: object) -> list[str]:
        await trio.lowlevel.checkpoint()
        raise JournalFailed("the disk is gone")

    monkeypatch.setattr(disuse, "find_users", failing)
    with pytest.raises(JournalFailed):
        await unstaging._prove_forgotten(process.node._machine, record, record.subnqn, Scene({}, ()))
    monkeypatch.undo()
    await unstage(world, process, volume)
