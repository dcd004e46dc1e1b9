"""The sweep, and who comes for the volume meanwhile: stage, publish, another epoch, a death, a neighbour that hangs."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
from csi_logs import captured
from staging_rig import AFTER, assert_nothing_staged, assert_staged, forgotten, pass_time, staged, staging
from trio.testing import MockClock

from rdscsi.errors import Busy, DeviceUnavailable, NotPermittedNow, OperationPending
from rdscsi.host.ports import Connection
from rdscsi.journal import changes
from rdscsi.model import AccessType, Tuning
from rdscsi.node import unstaging
from rdscsi.testing.host import Life
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

Change = Callable[[NodeWorld, NodeProcess, NodeVolume], Awaitable[None]]


async def test_the_proof_is_given_again_by_the_operation_itself(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    offers = process.host.offers
    asked: list[bool] = []

    async def restored(connection: Connection) -> bool:
        asked.append(await offers(connection))
        if len(asked) == 3:
            world.exporter.export(volume.subnqn, volume.file)
        return asked[-1]

    process.host.offers = restored  # type: ignore[method-assign]
    await pass_time(process, 1.6 * AFTER)
    assert asked == [False, False, False, True]
    await assert_staged(process, volume)
    (last,) = await process.journal.operations(limit=1)
    assert (last.kind, last.state) == ("unstage", "refused")
    assert "offered again" in last.error


async def test_who_comes_meanwhile_asks_again_and_is_served(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    process.host.trouble.hung.add(staging(world, volume))
    unmount = process.host.unmount

    async def slow(mount_point: str) -> None:
        await trio.sleep(30)
        await unmount(mount_point)

    process.host.unmount = slow  # type: ignore[method-assign]
    world.publish(volume)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pass_time, process)
        await trio.sleep(1.5 * AFTER + 10)
        with pytest.raises(Busy):
            await process.node.stage(world.stage_request(volume))
        await trio.sleep(60)
        await process.node.stage(world.stage_request(volume))
    await assert_staged(process, volume)


async def test_an_epoch_that_was_published_here_anew_does_not_keep_the_former_one(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    world.publish(volume)
    await pass_time(process)
    await assert_nothing_staged(process)
    await process.node.stage(world.stage_request(volume))
    await assert_staged(process, volume)
    await pass_time(process)
    await assert_staged(process, volume)


async def test_a_stage_takes_the_place_of_a_sweep_that_died(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await forgotten(world, process)
    async with world.process(Life("die after", 1)) as process:  # the boot's commit, the intent
        await pass_time(process)
    world.publish(volume)
    async with world.process() as process:
        assert [one.kind for one in await process.journal.open_operations()] == ["unstage"]
        await process.node.stage(world.stage_request(volume))
        await assert_staged(process, volume)
        await pass_time(process)
        await assert_staged(process, volume)


@pytest.mark.parametrize("commits", [1, 2])
async def test_a_sweep_that_died_goes_on_when_it_still_may(
    world: NodeWorld, commits: int, autojump_clock: MockClock
) -> None:
    """Until the record says `unstaging` its proof is given anew; after that it is finished in any case."""
    async with world.process() as process:
        volume = await forgotten(world, process)
    async with world.process(Life("die after", commits - 1)) as process:
        await pass_time(process)
    world.exporter.export(volume.subnqn, volume.file)
    async with world.process() as process:
        assert len(await process.journal.open_operations()) == 1
        await process.node._recovery.settle_all()
        if commits == 1:
            await assert_staged(process, volume)
            assert await process.journal.open_operations() == []
        else:
            await assert_nothing_staged(process)


async def test_one_that_does_not_answer_keeps_no_other(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    silent, other = await forgotten(world, process), await forgotten(world, process, name="pvc-2")
    offers = process.host.offers

    async def hangs(connection: Connection) -> bool:
        if connection.subnqn == silent.subnqn:
            await trio.sleep(AFTER)
            raise DeviceUnavailable("no answer")
        return await offers(connection)

    process.host.offers = hangs  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.node._sweep.look)
        await trio.sleep(AFTER)
        nursery.start_soon(process.node._sweep.look)
        await trio.sleep(1)
        assert list(process.host.kernel.attached) == [silent.subnqn]
        nursery.cancel_scope.cancel()
    await assert_staged(process, silent)
    assert other.subnqn != silent.subnqn


async def test_a_publish_that_comes_before_the_sweep_is_served(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    await pass_time(process, 1.4 * AFTER)
    await process.node.publish(world.publish_request(volume))
    await pass_time(process)
    await assert_staged(process, volume)
    await process.node.unpublish(volume.volume_id, world.path("pod"))
    await pass_time(process)
    with pytest.raises(NotPermittedNow, match="not staged"):
        await process.node.publish(world.publish_request(volume))
    await assert_nothing_staged(process)


async def _replaced(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    world.publish(volume)
    await process.node.stage(world.stage_request(volume))


async def _used(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    await process.node.publish(world.publish_request(volume))
    process.host.kernel.attached.clear()
    process.host.kernel.nodes.clear()  # a plain file is at the target: unstaging by itself would not mind


async def _silent(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.unreachable = True


@pytest.mark.parametrize(
    ("change", "reason"), [(_replaced, "not what is staged any more"), (_used, "in use"), (_silent, "cannot be told")]
)
async def test_what_changed_since_the_look_ends_it_with_nothing_changed(
    world: NodeWorld, process: NodeProcess, change: Change, reason: str, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process, access_type=AccessType.BLOCK)
    (record,) = await process.journal.stages()
    await change(world, process, volume)
    process.life.effects.clear()
    with pytest.raises(NotPermittedNow, match=reason):
        await unstaging.take_off_forgotten(process.node._machine, record)
    assert process.life.effects == ["commit", "commit"]  # the intent, and its end
    assert [one.state for one in await process.journal.stages()] == ["staged"]
    assert await process.journal.open_operations() == []


async def test_another_operation_that_is_open_is_left_to_whoever_asked_for_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process)
    (record,) = await process.journal.stages()
    with pytest.raises(DeviceUnavailable):
        await process.node.expand(world.expand_request(volume, staging(world, volume), 2 * volume.size_bytes))
    with pytest.raises(OperationPending):
        await unstaging.take_off_forgotten(process.node._machine, record)
    assert [one.kind for one in await process.journal.open_operations()] == ["node-expand"]


async def test_a_publish_that_rebuilds_the_record_meanwhile_is_told_to_ask_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await forgotten(world, process, access_type=AccessType.BLOCK)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    disconnect = process.host.disconnect
    told: list[str] = []

    async def and_publish(subnqn: str) -> None:
        with pytest.raises(DeviceUnavailable) as refused:
            await process.node.publish(world.publish_request(volume))
        told.append(str(refused.value))
        await disconnect(subnqn)

    process.host.disconnect = and_publish  # type: ignore[method-assign]
    await pass_time(process, 1.6 * AFTER)
    assert len(told) == 1
    assert "ask again" in told[0]
    assert process.host.kernel.attached == {}


async def test_many_that_do_not_answer_are_asked_side_by_side(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    asked: list[str] = []
    for number in range(4):
        await forgotten(world, process, name=f"pvc-{number}")

    async def hangs(connection: Connection) -> bool:
        asked.append(connection.subnqn)
        await trio.sleep(AFTER)
        raise DeviceUnavailable("no answer")

    process.host.offers = hangs  # type: ignore[method-assign]
    with trio.move_on_after(1):
        await process.node._sweep.look()
    assert len(asked) == 4


async def test_no_device_appears_while_a_node_that_is_stuck_might_open_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """To ask a portal about what is not connected is to connect it for a moment."""
    volume, block = await forgotten(world, process), await staged(world, process, "pvc-2", access_type=AccessType.BLOCK)
    await process.node.publish(world.publish_request(block))
    process.host.kernel.attached.clear()
    remove, offers = process.host.remove, process.host.offers
    asked: list[str] = []

    async def stuck(path: str) -> None:
        raise NotPermittedNow(f"{path}: Device or resource busy")

    async def noted(connection: Connection) -> bool:
        asked.append(connection.subnqn)
        return await offers(connection)

    process.host.remove, process.host.offers = stuck, noted  # type: ignore[method-assign]
    await process.node._sweep.look()
    assert asked == []
    process.host.remove = remove  # type: ignore[method-assign]
    await process.node._sweep.look()
    assert volume.subnqn in asked


async def test_a_volume_whose_path_the_kernel_tries_for_longer_waits_for_as_long(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    patient, other = world.volume(), await forgotten(world, process, name="pvc-2")
    request = replace(world.stage_request(patient), tuning=Tuning(ctrl_loss_tmo=int(10 * AFTER)))
    await process.node.stage(request)
    world.exporter.withdraw(patient.subnqn)
    await pass_time(process, 9 * AFTER)
    assert other.subnqn not in process.host.kernel.attached
    await assert_staged(process, patient)
    await pass_time(process, 3 * AFTER)
    await assert_nothing_staged(process)


async def test_nobody_gets_a_device_that_shows_only_while_a_portal_is_asked(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    refused: list[str] = []

    async def and_publish(connection: Connection) -> bool:
        with pytest.raises(Busy):
            await process.node.publish(world.publish_request(volume))
        refused.append(connection.subnqn)
        return True

    process.host.offers = and_publish  # type: ignore[method-assign]
    await process.node._sweep.look()
    assert refused == [volume.subnqn]
    await process.node.publish(world.publish_request(volume))


async def test_a_bug_costs_one_volume_and_is_told(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    bad, other = await forgotten(world, process), await forgotten(world, process, name="pvc-2")
    offers = process.host.offers

    async def bug(connection: Connection) -> bool:
        if connection.subnqn == bad.subnqn:
            raise RuntimeError("made a bug of")
        return await offers(connection)

    process.host.offers = bug  # type: ignore[method-assign]
    with captured() as logged:
        await pass_time(process)
    assert {one["subnqn"] for one in logged.records("sweep.bug")} == {bad.subnqn}
    await assert_staged(process, bad)
    assert other.subnqn not in process.host.kernel.attached
