"""An item is gone, and of its file only the directory is left: a power loss can end between the two."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller.judgement import LOST, NOT_ADDED
from rdscsi.errors import Quarantined
from rdscsi.model import MIB, Volume
from rdscsi.simulator import ApplianceOptions, Behaviour
from rdscsi.simulator.faults import Fault
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import attach, settle, wish
from rdscsi.testing.world import APPLIANCE, OPTIONS, Process, World, open_world

FLUSH = 30.0


@pytest.fixture
async def forgetful(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    """An appliance that keeps what it was told last in memory for a while."""
    behaviour = Behaviour(config_flush_delay=FLUSH, pool_flush_delay=FLUSH)
    appliance: ApplianceOptions = dataclasses.replace(APPLIANCE, behaviour=behaviour)
    options = dataclasses.replace(OPTIONS, flush_delay=FLUSH)
    async with open_world(tmp_path, appliance=appliance, options=options) as world:
        yield world


def slot(volume: Volume) -> str:
    return volume.volume_id.partition("/")[2]


def file_path(world: World, volume: Volume) -> str:
    disk = world.appliance.storage.disks.by_slot(slot(volume))
    assert disk is not None
    return str(disk.setting("file-path", ""))


def lose_file(world: World, volume: Volume) -> None:
    """The item goes, and the file in its directory."""
    path = file_path(world, volume)
    world.machine.remove_by_hand(slot(volume))
    world.appliance.run(f'/file/remove [find where name="{path.removeprefix("/")}"]')
    assert not [leaf for leaf in world.machine.leaves() if slot(volume) in leaf and leaf.endswith(".img")]


async def half_made_again(world: World, process: Process) -> Volume:
    """A power loss takes all of a volume that nobody had; the line that makes it again is cut after the directory."""
    volume = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
    world.faults.add(Fault("cut", mutation=2), contains="/disk/add", times=1)
    assert world.appliance.reboot() > 0
    with trio.fail_after(60):
        while not [leaf for leaf in world.machine.leaves() if slot(volume) in leaf]:
            await trio.sleep(0.1)
    assert slot(volume) not in world.machine.items()
    return volume


async def looked_again(process: Process) -> None:
    await trio.sleep(3 * process.controller.backend.options.refresh_every)


async def test_what_was_half_made_again_when_the_process_died_is_made_again(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """Found by a seed: the next process took the directory for the file, and was refused for ever."""
    async with forgetful.process() as process:
        await trio.sleep(90)
        before = holdings(forgetful.machine)
        volume = await half_made_again(forgetful, process)
        forgetful.crash()
    async with forgetful.process() as process:
        await looked_again(process)
        promises = Promises(exists={volume.volume_id: 3 * MIB})
        assert await violations(forgetful.machine, process.journal, promises, before) == []


async def test_what_a_node_had_is_left_to_a_person(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, "")
        lose_file(world, volume)
        await looked_again(process)
        await process.wait_settled()
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.quarantine.startswith(LOST + NOT_ADDED + "failure: ")
        with pytest.raises(Quarantined, match="cannot be added again"):
            await process.controller.publish_volume(attach(volume))
        await looked_again(process)
        assert record == await process.journal.volume(volume.volume_id)
        assert await process.journal.open_operations() == []
        await settle(lambda: process.controller.delete_volume(volume.volume_id))
        assert not [leaf for leaf in world.machine.leaves() if slot(volume) in leaf]


async def test_a_person_who_puts_the_file_back_and_adds_the_item_ends_the_quarantine(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        path = file_path(world, volume)
        lose_file(world, volume)
        await looked_again(process)
        size = volume.capacity_bytes
        tag = record.tag
        world.appliance.run(
            f'/disk/add type=file slot={slot(volume)} file-path={path} file-size={size} comment="{tag}"'
        )
        await looked_again(process)
        await process.wait_settled()
        healed = await process.journal.volume(volume.volume_id)
        assert healed is not None
        assert healed.quarantine == ""
        assert world.machine.items()[slot(volume)].export


async def test_a_refusal_that_passes_costs_nothing(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        world.faults.add("refuse", contains="file-path=", times=3)
        world.machine.remove_by_hand(slot(volume))
        await looked_again(process)
        await process.wait_settled()
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.quarantine == ""
        assert world.machine.items()[slot(volume)].export


async def test_an_old_journal_that_was_making_it_again_leaves_what_was_made_since(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """The volume was made again, handed out and let in after the copy was taken."""
    async with forgetful.process() as process:
        await trio.sleep(90)
        volume = await half_made_again(forgetful, process)
        assert [one.kind for one in await process.journal.open_operations()] == ["restore"]
        old = forgetful.copied_journal("making-again")
        await looked_again(process)
        await process.controller.publish_volume(attach(volume))
        await trio.sleep(90)
        before = forgetful.machine.items()[slot(volume)]
    async with forgetful.process(old) as process:
        await looked_again(process)
        await process.wait_settled()
        after = forgetful.machine.items()[slot(volume)]
        assert (after.comment, after.nqn, after.export) == (before.comment, before.nqn, True)
        with trio.fail_after(60):
            await settle(lambda: process.controller.unpublish_volume(volume.volume_id, ""))
