"""Connections of this cluster that no record knows: cut when unused and withdrawn, else told and left alone."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from staging_rig import AFTER, OTHER_PORTAL, assert_nothing_staged, pass_time, staged, staging
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OperationPending, OutcomeUnknown
from rdscsi.host.ports import Connection, Controller, Device
from rdscsi.journal import changes
from rdscsi.model import AccessType, Portal
from rdscsi.testing.node import PORTALS, NodeProcess, NodeVolume, NodeWorld


async def orphan(world: NodeWorld, process: NodeProcess, **wishes: object) -> NodeVolume:
    """A volume that is connected, known to no record, and withdrawn."""
    volume = await staged(world, process, access_type=AccessType.BLOCK, **wishes)  # type: ignore[arg-type]
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.exporter.withdraw(volume.subnqn)
    return volume


async def test_an_orphan_goes_and_not_before_its_time(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    await pass_time(process, 1.4 * AFTER)
    assert volume.subnqn in process.host.kernel.attached
    await pass_time(process)
    await assert_nothing_staged(process)


async def test_one_whose_device_is_gone_goes_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    connected = process.host.connected

    async def without_disk(prefix: str) -> dict[str, tuple[tuple[int, int], ...]]:
        return dict.fromkeys(await connected(prefix), ())

    process.host.connected = without_disk  # type: ignore[method-assign, assignment]
    await pass_time(process)
    await assert_nothing_staged(process)


async def _offered(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    world.exporter.export(volume.subnqn, volume.file)


async def _unreachable(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.unreachable = True


async def _held(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.held[volume.subnqn] = ("dm-3 stands on it (device mapper or md)",)


async def _connecting(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.connecting.add(volume.subnqn)


async def _published(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    world.exporter.export(volume.subnqn, volume.file)
    await process.node.stage(world.stage_request(volume))
    await process.node.publish(world.publish_request(volume))
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.exporter.withdraw(volume.subnqn)


async def _claimed_by_an_intent(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    with pytest.raises(OperationPending):
        async with process.journal.operation("stage", volume.volume_id, {"subnqn": volume.subnqn}):
            raise RuntimeError


Way = Callable[[NodeWorld, NodeProcess, NodeVolume], Awaitable[None]]
WAYS: list[Way] = [_offered, _unreachable, _held, _connecting, _published, _claimed_by_an_intent]


@pytest.mark.parametrize("keep", WAYS)
async def test_nothing_is_cut_without_proof(
    world: NodeWorld, process: NodeProcess, keep: Way, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    await keep(world, process, volume)
    await pass_time(process)
    assert volume.subnqn in process.host.kernel.attached


async def test_a_mounted_orphan_stays(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    volume = await staged(world, process)
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    world.exporter.withdraw(volume.subnqn)
    await pass_time(process)
    assert volume.subnqn in process.host.kernel.attached
    assert len(process.host.kernel.mounts) == 1


@pytest.mark.parametrize("subnqn", ["nqn.2014-08.org.nvmexpress:boot", "other cluster"])
async def test_what_is_not_ours_is_never_touched(
    world: NodeWorld, process: NodeProcess, subnqn: str, autojump_clock: MockClock
) -> None:
    if subnqn == "other cluster":
        subnqn = names.subnqn(names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"), names.epoch(bytes(10)))
    world.exporter.export(subnqn, world.exporter.file("other", 1 << 20))
    await process.host.connect(process.node._machine.connection(subnqn, ()))
    world.exporter.withdraw(subnqn)
    await pass_time(process)
    assert list(process.host.kernel.attached) == [subnqn]


async def test_a_former_epoch_beside_a_staged_one_goes_and_the_staged_one_stays(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    former = names.subnqn(volume.slot, names.epoch(b"former one"))
    world.exporter.export(former, volume.file)
    await process.host.connect(process.node._machine.connection(former, ()))
    world.exporter.withdraw(former)
    await pass_time(process)
    assert list(process.host.kernel.attached) == [volume.subnqn]
    assert [one.state for one in await process.journal.stages()] == ["staged"]


async def test_a_stage_that_comes_meanwhile_is_told_to_ask_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """Whoever claims the connection while it is cut does not get a device that goes away under it."""
    volume = await orphan(world, process)
    disconnect = process.host.disconnect
    told: list[str] = []

    async def and_stage(subnqn: str) -> None:
        world.exporter.export(volume.subnqn, volume.file)
        with pytest.raises(DeviceUnavailable) as refused:
            await process.node.stage(world.stage_request(volume))
        told.append(str(refused.value))
        await disconnect(subnqn)

    process.host.disconnect = and_stage  # type: ignore[method-assign]
    await pass_time(process, 1.6 * AFTER)
    assert len(told) == 1
    assert "ask again" in told[0]
    process.host.disconnect = disconnect  # type: ignore[method-assign]
    await process.node.stage(world.stage_request(volume))
    assert [one.state for one in await process.journal.stages()] == ["staged"]
    await process.node.unstage(volume.volume_id, staging(world, volume))


async def test_who_claimed_it_since_the_look_keeps_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    world.exporter.export(volume.subnqn, volume.file)
    await process.node.stage(world.stage_request(volume))
    world.exporter.withdraw(volume.subnqn)
    for _ in range(2):
        assert not await process.node._sweep._orphan(volume.subnqn, ())
        await trio.sleep(AFTER)
    assert volume.subnqn in process.host.kernel.attached


async def test_nobody_gets_a_device_that_shows_only_while_a_portal_is_asked(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    told: list[str] = []

    async def and_stage(connection: Connection) -> bool:
        with pytest.raises(DeviceUnavailable) as refused:
            await process.node.stage(world.stage_request(volume))
        told.append(str(refused.value))
        return True

    process.host.offers = and_stage  # type: ignore[method-assign]
    await process.node._sweep.look()
    assert "ask again" in told[0]


async def test_those_portals_are_asked_that_this_host_itself_is_connected_through(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    """A connection that somebody made as another host is not ours; with none of ours, nobody can be asked."""
    volume = await orphan(world, process)
    ours = process.node._machine.connection(volume.subnqn, ()).hostnqn
    paths = process.host.trouble.controllers
    asked: list[tuple[Portal, ...]] = []

    async def noted(connection: Connection) -> bool:
        asked.append(connection.portals)
        return True

    process.host.offers = noted  # type: ignore[method-assign]
    paths[volume.subnqn] = (Controller(PORTALS[0], ours, "live"), Controller(OTHER_PORTAL, "stranger", "live"))
    await process.node._sweep.look()
    paths[volume.subnqn] = (Controller(OTHER_PORTAL, "stranger", "live"),)
    await process.node._sweep.look()
    assert asked == [PORTALS, ()]


async def test_a_user_who_came_before_it_is_cut_keeps_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    holders = process.host.holders
    looks: list[Device] = []

    async def late(device: Device) -> tuple[str, ...]:
        looks.append(device)
        return ("late",) if len(looks) > 3 else await holders(device)

    process.host.holders = late  # type: ignore[method-assign]
    await pass_time(process)
    assert len(looks) > 3
    assert volume.subnqn in process.host.kernel.attached


async def test_a_disconnection_whose_outcome_is_unknown_is_tried_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await orphan(world, process)
    disconnect = process.host.disconnect
    tries: list[str] = []

    async def at_last(subnqn: str) -> None:
        tries.append(subnqn)
        if len(tries) == 1:
            raise OutcomeUnknown("not gone")
        await disconnect(subnqn)

    process.host.disconnect = at_last  # type: ignore[method-assign]
    await pass_time(process)
    assert tries == [volume.subnqn] * 2
    await assert_nothing_staged(process)
