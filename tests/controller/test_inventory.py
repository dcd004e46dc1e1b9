"""What a difference between journal and appliance leads to: power losses, operators, and what comes back (law 13)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller.judgement import Facts, Verdict, judge
from rdscsi.errors import NotFinal, Quarantined
from rdscsi.model import GIB, MIB, CapacityRange
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.storage.disks import Disk
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, settle, wish
from rdscsi.testing.world import Process, World, open_world

FORGETFUL = ApplianceOptions(
    pool=PoolOptions(size=1024 * GIB),
    initial_uptime=3600.0,
    behaviour=Behaviour(config_flush_delay=30.0, pool_flush_delay=30.0),
)
KEEPS_FILES = ApplianceOptions(
    pool=PoolOptions(size=1024 * GIB),
    initial_uptime=3600.0,
    behaviour=Behaviour(config_flush_delay=30.0, pool_flush_delay=0.0),
)


@pytest.fixture
async def forgetful(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, appliance=FORGETFUL) as world:
        yield world


@pytest.fixture
async def keeps_files(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, appliance=KEEPS_FILES) as world:
        yield world


async def test_a_volume_that_was_never_published_is_made_again_after_a_power_loss(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        await trio.sleep(60)
        volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        assert forgetful.appliance.reboot() > 0
        assert _disk(forgetful, volume.volume_id) is None
        await _quiet(process)
        assert _disk(forgetful, volume.volume_id) is not None
        assert await process.controller.create_volume(wish("pvc-1", 3 * MIB)) == volume


async def test_an_item_that_vanished_is_added_again_to_its_file_with_export_off(
    keeps_files: World, autojump_clock: MockClock
) -> None:
    world = keeps_files
    async with world.process() as process:
        await trio.sleep(60)
        volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        disk = _disk(world, volume.volume_id)
        assert disk is not None
        path = world.appliance.storage.files.path(disk.file_name)
        path.write_bytes(b"precious" + bytes(3 * MIB - 8))
        assert world.appliance.reboot() > 0
        assert _disk(world, volume.volume_id) is None
        await _quiet(process)
        found = _disk(world, volume.volume_id)
        assert found is not None
        assert not found.exported
        assert path.read_bytes()[:8] == b"precious"


async def test_a_published_volume_that_is_gone_altogether_is_quarantined_as_lost(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        _erase_by_hand(world, volume.volume_id)
        await trio.sleep(2 * world.options.refresh_every)
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.quarantine.startswith("lost: ")
        with pytest.raises(Quarantined, match="lost"):
            await process.controller.publish_volume(attach(volume))
        with pytest.raises(Quarantined, match="lost"):
            await process.controller.create_volume(wish("pvc-1"))
        other = await process.controller.create_volume(wish("pvc-2"))
        [found] = [one for one in (await process.controller.list_volumes(0, "")).volumes if one.abnormal]
        assert found.volume_id == volume.volume_id
        await process.controller.delete_volume(volume.volume_id)
        assert [one.volume_id for one in (await process.controller.list_volumes(0, "")).volumes] == [other.volume_id]


async def test_an_unflushed_publish_is_made_again_with_the_same_nqn(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        context = await process.controller.publish_volume(attach(volume))
        assert forgetful.appliance.reboot() > 0
        await _quiet(process)
        disk = _disk(forgetful, volume.volume_id)
        assert disk is not None
        assert (disk.exported, disk.setting("nvme-tcp-server-nqn", "")) == (True, context["subnqn"])
        assert await process.controller.publish_volume(attach(volume)) == context


async def test_an_unflushed_cut_is_made_again_before_anybody_else_is_let_in(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        old = await process.controller.publish_volume(attach(volume))
        await trio.sleep(60)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert forgetful.appliance.reboot() > 0
        disk = _disk(forgetful, volume.volume_id)
        assert disk is not None
        assert disk.exported
        new = await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))
        assert new["subnqn"] != old["subnqn"]
        exported = [one.setting("nvme-tcp-server-nqn", "") for one in forgetful.appliance.storage.disks if one.exported]
        assert exported == [new["subnqn"]]


async def test_a_deleted_volume_that_comes_back_is_erased_again(forgetful: World, autojump_clock: MockClock) -> None:
    async with forgetful.process() as process:
        before = holdings(forgetful.machine)
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        await process.controller.delete_volume(volume.volume_id)
        assert forgetful.appliance.reboot() > 0
        assert _disk(forgetful, volume.volume_id) is not None
        await _quiet(process)
        assert _disk(forgetful, volume.volume_id) is None
        promises = Promises(gone={volume.volume_id})
        assert await violations(forgetful.machine, process.journal, promises, before) == []


async def test_a_name_that_is_used_again_is_not_confused_with_what_comes_back(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        before = holdings(forgetful.machine)
        await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        slot = process.controller.backend.slot("pvc-1")
        volume_id = process.controller.backend.volume_id(slot)
        await process.controller.delete_volume(volume_id)
        volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        assert forgetful.appliance.reboot() > 0
        await _quiet(process)
        promises = Promises(exists={volume.volume_id: 3 * MIB})
        assert await violations(forgetful.machine, process.journal, promises, before) == []


async def test_an_unflushed_expansion_is_made_again(forgetful: World, autojump_clock: MockClock) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        await process.controller.expand_volume(volume.volume_id, CapacityRange(GIB), None)
        assert forgetful.appliance.reboot() > 0
        await _quiet(process)
        disk = _disk(forgetful, volume.volume_id)
        assert disk is not None
        assert disk.setting("file-size", 0) == GIB


async def test_nothing_mutates_between_a_reboot_and_the_inventory(forgetful: World, autojump_clock: MockClock) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        forgetful.appliance.reboot()
        forgetful.faults.add("drop-before", contains=":pick")
        before = holdings(forgetful.machine)
        for _ in range(5):
            with pytest.raises(NotFinal):
                await process.controller.publish_volume(attach(volume))
            await trio.sleep(20)
        assert holdings(forgetful.machine) == before
        forgetful.faults.clear()
        await settle(lambda: process.controller.publish_volume(attach(volume)))


@pytest.mark.parametrize("meddling", ["export off", "export on", "renamed nqn"])
async def test_an_export_that_an_operator_changed_is_put_right(
    meddling: str, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        context = {"subnqn": ""}
        if meddling != "export on":
            context = dict(await process.controller.publish_volume(attach(volume)))
        change = {
            "export off": "nvme-tcp-export=no",
            "export on": "nvme-tcp-export=yes",
            "renamed nqn": 'nvme-tcp-server-nqn="nqn.2026-01.x:y"',
        }[meddling]
        world.appliance.run(f"/disk/set [find where slot={slot}] {change}")
        await trio.sleep(2 * world.options.refresh_every)
        disk = _disk(world, volume.volume_id)
        assert disk is not None
        assert disk.exported == (meddling != "export on")
        if disk.exported:
            assert disk.setting("nvme-tcp-server-nqn", "") == context["subnqn"]


async def test_a_tag_edited_by_hand_quarantines_its_own_volume_alone(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        first, second = await controller.create_volume(wish("pvc-1")), await controller.create_volume(wish("pvc-2"))
        slot = first.volume_id.partition("/")[2]
        disk = _disk(world, first.volume_id)
        assert disk is not None
        edited = str(disk.setting("comment", "")).replace("use=blank", "use=used")
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="{edited}"')
        await trio.sleep(2 * world.options.refresh_every)
        with pytest.raises(Quarantined, match="changed by hand"):
            await controller.publish_volume(attach(first))
        await controller.publish_volume(attach(second))
        restored = edited.replace("use=used", "use=blank")
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="{restored}"')
        await trio.sleep(2 * world.options.refresh_every)
        await controller.publish_volume(attach(first))


def test_a_slot_that_nobody_knows_is_nobodys() -> None:
    facts = Facts("v-x", None, None, frozenset(), frozenset(), open_operation=False)
    assert judge(facts).verdict is Verdict.NOBODYS


def _disk(world: World, volume_id: str) -> Disk | None:
    return world.appliance.storage.disks.by_slot(volume_id.partition("/")[2])


def _erase_by_hand(world: World, volume_id: str) -> None:
    slot = volume_id.partition("/")[2]
    world.appliance.run(f"/disk/remove [find where slot={slot}]")
    [item] = [one for one in world.appliance.storage.subvolumes if one.name.startswith(slot)]
    world.appliance.run(f"/disk/btrfs/subvolume/remove [find where name={item.name}]")
    assert _disk(world, volume_id) is None


async def _quiet(process: Process) -> None:
    """Wait until the keeper has looked again and has nothing left to do."""
    await trio.sleep(2 * process.controller.backend.options.refresh_every)
    await process.wait_settled()


async def test_a_deleted_volumes_file_that_comes_back_without_its_item_is_erased(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        await process.controller.delete_volume(volume.volume_id)
        before = holdings(world.machine)
        returned = f"{record.slot}.{record.backing}"
        assert world.appliance.run(f'/disk/btrfs/subvolume/add fs=pool1 name="rdscsi/{returned}"') == ""
        assert f"pool1/rdscsi/{returned}" in holdings(world.machine).leaves
        await _quiet(process)
        assert holdings(world.machine) == before
        assert [one.kind for one in await process.journal.operations()] == ["erase", "delete", "create"]
