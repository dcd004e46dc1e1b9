"""What a power loss or an operator changes behind the controller's back, case by case (docs/model/findings.md)."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller import repairs
from rdscsi.controller.inventory import Inventory, Repair
from rdscsi.controller.judgement import Verdict
from rdscsi.errors import InventoryIncomplete, NotFinal, OperationPending
from rdscsi.model import GIB, MIB
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.faults import Fault
from rdscsi.simulator.storage.disks import Disk
from rdscsi.tags import parse_tag
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, settle, wish
from rdscsi.testing.world import OPTIONS, Process, World, open_world

FLUSH = 30.0


def forgets(*, config: float = 0.0, pool: float = 0.0) -> ApplianceOptions:
    """An appliance that keeps changes of its configuration, and of its pool, in memory for so long."""
    behaviour = Behaviour(config_flush_delay=config, pool_flush_delay=pool)
    return ApplianceOptions(pool=PoolOptions(size=1024 * GIB), initial_uptime=3600.0, behaviour=behaviour)


@pytest.fixture
async def forgetful(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    options = dataclasses.replace(OPTIONS, flush_delay=FLUSH)
    async with open_world(tmp_path, appliance=forgets(config=FLUSH, pool=FLUSH), options=options) as world:
        yield world


@pytest.fixture
async def loses_files(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, appliance=forgets(pool=FLUSH)) as world:
        yield world


async def test_an_item_whose_file_a_power_loss_took_is_made_again_if_nobody_ever_had_it(
    loses_files: World, autojump_clock: MockClock
) -> None:
    """Finding 7, and the uuid in the tag is the new subvolume's."""
    world = loses_files
    async with world.process() as process:
        await trio.sleep(90)
        before = holdings(world.machine)
        volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        assert world.appliance.reboot() > 0
        await _quiet(process)
        promises = Promises(exists={volume.volume_id: 3 * MIB})
        assert await violations(world.machine, process.journal, promises, before) == []
        disk = _disk(world, volume.volume_id)
        assert disk is not None
        tag = parse_tag(str(disk.setting("comment", "")))
        assert tag is not None
        [subvolume] = [one for one in world.appliance.storage.subvolumes if one.name.endswith(tag.operation)]
        assert tag.backing_uuid == subvolume.uuid


async def test_an_item_whose_file_is_gone_is_lost_if_a_node_ever_had_it(
    loses_files: World, autojump_clock: MockClock
) -> None:
    world = loses_files
    async with world.process() as process:
        await trio.sleep(90)
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        assert world.appliance.reboot() > 0
        await _quiet(process)
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.quarantine == "lost: its file is not on the appliance any more"


async def test_a_half_made_item_whose_file_is_gone_does_not_hold_up_its_create(
    loses_files: World, autojump_clock: MockClock
) -> None:
    """Finding 7: the create line leaves an item that is in the slot alone."""
    world = loses_files
    async with world.process() as process:
        await trio.sleep(90)
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        assert world.appliance.reboot() > 0
        volume = await settle(lambda: process.controller.create_volume(wish("pvc-1")), patience=400)
        assert volume.capacity_bytes == 64 * MIB


async def test_an_undo_that_stopped_half_way_is_gone_on_with_when_the_caller_comes_again(
    world: World, autojump_clock: MockClock
) -> None:
    """Finding 9: a deleting tag in the slot was no ready volume, for ever."""
    async with world.process() as process:
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        world.faults.add(Fault("cut", mutation=2), contains="/disk/remove $zq", times=1)
        while "deleting" not in _comments(world):
            await trio.sleep(1)
        volume = await settle(lambda: process.controller.create_volume(wish("pvc-1")), patience=200)
        assert volume.capacity_bytes == 64 * MIB


async def test_an_undo_ends_where_a_late_line_has_made_the_volume_ready(
    world: World, autojump_clock: MockClock
) -> None:
    """What is erased is half made, to the last statement: the removing line compares the tag, and so does the next."""
    async with world.process() as process:
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        [slot] = [disk.slot for disk in world.appliance.storage.disks if "v creating" in _comment(disk)]
        half_made = _comment(world.appliance.storage.disks.by_slot(slot))
        ready = half_made.replace("v creating", "v ready").replace("gen=1", "gen=2")
        late = Fault("meddle", mutation=0, text=f'/disk/set [find where slot={slot}] comment="{ready}"')
        world.faults.add(late, contains="v deleting", times=1)
        await trio.sleep(world.options.abandon_after + 2 * world.options.refresh_every)
        [create] = await process.journal.operations()
        assert create.state == "done"
        trail = await process.journal.operation_record(create.id)
        assert trail is not None
        assert [one.detail for one in trail.steps if "has become ready meanwhile; it is not undone" in one.detail]
        record = await process.journal.volume(create.subject)
        assert record is not None
        assert (record.state, record.tag) == ("ready", ready)


async def test_what_was_made_again_is_not_made_again_twice(forgetful: World, autojump_clock: MockClock) -> None:
    """The answer of the line is lost: the next look finds the volume as it is to be."""
    world = forgetful
    async with world.process() as process:
        await trio.sleep(90)
        volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        assert world.appliance.reboot() > 0
        world.faults.add("drop-after", contains="/disk/add", times=1)
        await _quiet(process)
        [restore] = [one for one in await process.journal.operations() if one.kind == "restore"]
        assert (restore.state, restore.attempts) == ("done", 2)
        trail = await process.journal.operation_record(restore.id)
        assert trail is not None
        assert [one.name for one in trail.steps].count("make again") == 1
        assert await process.controller.create_volume(wish("pvc-1", 3 * MIB)) == volume


async def test_a_repair_of_what_was_deleted_since_does_nothing(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.delete_volume(volume.volume_id)
        found = Repair(volume.volume_id.partition("/")[2], Verdict.RESTORE)
        await repairs.repair(process.controller.backend, found)
        assert [one.kind for one in await process.journal.operations()] == ["delete", "create"]


async def test_a_deleting_tag_that_another_controller_left_takes_the_record_with_it(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        ready = _comment(_disk(world, volume.volume_id))
        comment = ready.replace("v ready", "v deleting").replace("gen=2", "gen=3")
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="{comment}"')
        await _quiet(process)
        assert _disk(world, volume.volume_id) is None
        assert await process.journal.volumes() == []
        assert [one.kind for one in await process.journal.operations()] == ["erase", "create"]


async def test_a_deleted_volume_that_comes_back_exported_is_cut_off_and_erased(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """Finding 12: nobody is left who could unpublish it."""
    async with forgetful.process() as process:
        before = holdings(forgetful.machine)
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await trio.sleep(90)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        await process.controller.delete_volume(volume.volume_id)
        assert forgetful.appliance.reboot() > 0
        disk = _disk(forgetful, volume.volume_id)
        assert disk is not None
        assert disk.exported
        await _quiet(process)
        gone = Promises(gone={volume.volume_id})
        assert await violations(forgetful.machine, process.journal, gone, before) == []


async def test_a_deleted_volume_that_comes_back_does_not_hold_up_the_create_of_its_name(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """The repair waited for the create, which only its caller can go on with, and the create for the repair."""
    world = forgetful
    async with world.process() as process:
        volume = await settle(lambda: process.controller.create_volume(wish("pvc-1")))
        await trio.sleep(60.0)
        await settle(lambda: process.controller.delete_volume(volume.volume_id))
        assert world.appliance.reboot() > 0
        # The reply tells nothing of the reboot: the intent stands when the next inventory sees what is back.
        world.faults.add(Fault("stall-after"), times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        assert await settle(lambda: process.controller.create_volume(wish("pvc-1")), patience=300.0) == volume
        await process.wait_settled()
        tag = parse_tag(_comment(_disk(world, volume.volume_id)))
        record = await process.journal.volume(volume.volume_id)
        assert tag is not None
        assert record is not None
        assert tag.operation == record.backing
        [left] = [one for one in world.appliance.storage.subvolumes if volume.volume_id.partition("/")[2] in one.name]
        assert left.name.endswith(tag.operation)


async def test_the_next_node_waits_for_a_cut_that_a_repair_made(forgetful: World, autojump_clock: MockClock) -> None:
    """Finding 14: a second power loss would bring the first node back beside it."""
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await trio.sleep(90)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        await trio.sleep(FLUSH - 5)
        assert forgetful.appliance.reboot() > 0
        forgetful.faults.add("drop-before", contains="nvme-tcp-export=no", times=2)  # so that the repair is late
        while _disk(forgetful, volume.volume_id).exported:  # type: ignore[union-attr]
            await trio.sleep(0.25)
        cut_at = trio.current_time()
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))
        assert trio.current_time() - cut_at >= FLUSH - 1


async def test_an_export_that_nobody_asked_for_is_cut_before_a_node_is_let_in(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(90)
        slot = volume.volume_id.partition("/")[2]
        forgetful.appliance.run(f"/disk/set [find where slot={slot}] nvme-tcp-export=yes")
        await process.controller.backend.look_at(slot)
        began = trio.current_time()
        await process.controller.publish_volume(attach(volume, NODE_B))
        assert trio.current_time() - began >= FLUSH


async def test_a_refusal_is_not_told_from_memory(world: World, autojump_clock: MockClock) -> None:
    """Finding 17: node A was cut off behind this controller's back; B is not refused for its sake."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        _leave(world, volume.volume_id)
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)), patience=120)


async def test_that_a_node_is_out_is_not_told_from_memory(world: World, autojump_clock: MockClock) -> None:
    """Finding 17: B was let in behind this controller's back, and is cut off when that is asked for."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        _edit(world, volume.volume_id, "node-a", "node-b", _checksum(NODE_A), _checksum(NODE_B), "gen=3", "gen=4")
        await process.controller.unpublish_volume(volume.volume_id, NODE_B)
        disk = _disk(world, volume.volume_id)
        assert disk is not None
        assert not disk.exported


async def test_a_volume_that_the_appliance_forgot_is_not_published_before_it_is_restored(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """Finding 18: the set of nodes looks empty, because the appliance forgot who is in."""
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(90)
        _edit(forgetful, volume.volume_id, "gen=2", "gen=1")
        await process.controller.backend.look_at(volume.volume_id.partition("/")[2])
        with pytest.raises(OperationPending, match="forgot"):
            await process.controller.publish_volume(attach(volume, NODE_B))


async def test_no_line_is_sent_and_nothing_is_told_before_the_inventory_of_this_boot(
    world: World, autojump_clock: MockClock
) -> None:
    """Finding 18: an operation that waited through a reboot ends there."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        backend, slot = process.controller.backend, volume.volume_id.partition("/")[2]
        backend.unlearn("the appliance has rebooted")
        sent = world.machine.lines
        with pytest.raises(InventoryIncomplete):
            await backend.look_at(slot)
        with pytest.raises(InventoryIncomplete):
            await backend.device.unpublish(slot, old_tag="a", new_tag="b")
        assert world.machine.lines == sent


async def test_an_inventory_does_not_take_the_doubt_from_a_slot_where_a_line_may_still_act(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        world.faults.add("drop-before", contains="nvme-tcp-export=yes", times=1)
        with pytest.raises(NotFinal):
            await process.controller.publish_volume(attach(volume))
        backend = process.controller.backend
        await Inventory(backend).take()
        assert backend.device.settled_in(slot) > 0
        assert backend.catalogue.entry(slot).suspect
        await backend.device.wait_settled(slot)
        await Inventory(backend).take()
        assert not backend.catalogue.entry(slot).suspect


def _checksum(node_id: str) -> str:
    return node_id.rpartition(":")[2]


def _leave(world: World, volume_id: str) -> None:
    _edit(world, volume_id, "+p", "+l", "gen=3", "gen=4")
    world.appliance.run(f"/disk/set [find where slot={volume_id.partition('/')[2]}] nvme-tcp-export=no")


def _edit(world: World, volume_id: str, *pairs: str) -> None:
    disk = _disk(world, volume_id)
    assert disk is not None
    comment = str(disk.setting("comment", ""))
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert comment.count(old) == 1, (old, comment)
        comment = comment.replace(old, new)
    world.appliance.run(f'/disk/set [find where slot={disk.slot}] comment="{comment}"')


def _comments(world: World) -> str:
    return " ".join(str(disk.setting("comment", "")) for disk in world.appliance.storage.disks)


def _comment(disk: Disk | None) -> str:
    return str(disk.setting("comment", "")) if disk is not None else ""


def _disk(world: World, volume_id: str) -> Disk | None:
    return world.appliance.storage.disks.by_slot(volume_id.partition("/")[2])


async def _quiet(process: Process) -> None:
    """Wait until the keeper has looked again and has nothing left to do."""
    await trio.sleep(3 * process.controller.backend.options.refresh_every)
    await process.wait_settled()
