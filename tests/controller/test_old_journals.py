"""Journals that know less than they once did: an old copy put back, or none at all (docs/model/findings.md).

Whatever such a journal says, nothing is deleted that nobody asked to be deleted, and no node is cut off or let in.
"""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import AlreadyExists, NotFinal, Quarantined
from rdscsi.model import GIB, MIB, CapacityRange
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.faults import Fault
from rdscsi.simulator.storage.disks import Disk
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.world import OPTIONS, World, open_world

FORGETFUL = ApplianceOptions(
    pool=PoolOptions(size=1024 * GIB),
    initial_uptime=3600.0,
    behaviour=Behaviour(config_flush_delay=30.0, pool_flush_delay=30.0),
)


@pytest.fixture
async def forgetful(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, appliance=FORGETFUL) as world:
        yield world


async def test_a_volume_whose_tag_went_back_to_creating_is_not_undone_for_want_of_space(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """Finding 5: acknowledged, the journal lost, the tag back at creating; the pool has no room for it twice."""
    large = wish("pvc-1", 600 * GIB)
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(large)
    _edit(forgetful, volume.volume_id, "v ready", "v creating", "gen=2", "gen=1")
    async with forgetful.process(forgetful.directory / "fresh.db") as process:
        assert await settle(lambda: process.controller.create_volume(large)) == volume


async def test_what_another_journal_began_is_not_undone_when_it_cannot_be_finished(
    world: World, autojump_clock: MockClock
) -> None:
    """Finding 5: it may have been acknowledged, and this journal does not know."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
    _edit(world, volume.volume_id, "v ready", "v creating", "gen=2", "gen=1")
    before = holdings(world.machine)
    async with world.process(world.directory / "fresh.db") as process:
        world.faults.add(Fault("refuse", text="failure: no"), contains="/disk/add")
        with pytest.raises(NotFinal, match="another journal"):
            await process.controller.create_volume(wish("pvc-1"))
        assert holdings(world.machine) == before
        await trio.sleep(world.options.abandon_after + 120)
        assert holdings(world.machine) == before


async def test_an_old_open_create_does_not_erase_the_volume_in_use(world: World, autojump_clock: MockClock) -> None:
    """Finding 5: nobody asks for it again, because everybody has it."""
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        old = world.copied_journal("creating")
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
    async with world.process(old) as process:
        await trio.sleep(world.options.abandon_after + 2 * world.options.refresh_every)
        assert _disk(world, volume.volume_id) is not None
        assert await process.controller.create_volume(wish("pvc-1")) == volume


@pytest.mark.parametrize("published", [False, True], ids=["grown", "grown and published"])
async def test_a_create_that_an_old_journal_has_open_is_answered_with_what_became_of_the_volume(
    published: bool, world: World, autojump_clock: MockClock
) -> None:
    """Found by a seed: the volume was to be as large as when it was made, for ever."""
    asked = wish("pvc-1", 64 * MIB)
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(asked)
        old = world.copied_journal("creating")
        volume = await settle(lambda: process.controller.create_volume(asked))
        await process.controller.expand_volume(volume.volume_id, CapacityRange(GIB), None)
        if published:
            await process.controller.publish_volume(attach(volume, NODE_A))
        exported = _exported(world)
    async with world.process(old) as process:
        limited = wish("pvc-1", 64 * MIB, limit_bytes=128 * MIB)
        with pytest.raises(AlreadyExists, match="exists with 1073741824 bytes"):
            await settle(lambda: process.controller.create_volume(limited))
        assert await process.journal.open_operations() == []
        assert (await process.controller.create_volume(asked)).capacity_bytes == GIB
        assert _exported(world) == exported
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        await process.controller.delete_volume(volume.volume_id)


async def test_a_volume_that_was_deleted_since_is_not_made_anew(world: World, autojump_clock: MockClock) -> None:
    """Finding 6: without a reboot in between, what the appliance shows is worth more than an old record."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        old = world.copied_journal("ready")
        await process.controller.delete_volume(volume.volume_id)
    async with world.process(old) as process:
        await trio.sleep(2 * world.options.refresh_every)
        assert _disk(world, volume.volume_id) is None
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.quarantine.startswith("lost: ")


async def test_a_volume_that_was_made_since_under_the_same_name_is_learned(
    world: World, autojump_clock: MockClock
) -> None:
    """And what the old journal wanted with the former one is not done to it."""
    async with world.process() as process:
        first = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="nvme-tcp-export=yes", times=1)
        with pytest.raises(NotFinal):
            await process.controller.publish_volume(attach(first))
        old = world.copied_journal("first")
        await process.controller.unpublish_volume(first.volume_id, NODE_A)
        await process.controller.delete_volume(first.volume_id)
        second = await process.controller.create_volume(wish("pvc-1"))
    async with world.process(old) as process:
        await trio.sleep(2 * world.options.refresh_every)
        await process.wait_settled()
        assert _exported(world) == []
        assert await process.controller.create_volume(wish("pvc-1")) == second
        await process.controller.publish_volume(attach(second))


@pytest.mark.parametrize("published", [False, True])
async def test_an_old_delete_does_not_take_the_volume_that_was_made_since(
    published: bool, world: World, autojump_clock: MockClock
) -> None:
    """A delete belongs to one create: the name was deleted, made anew, and nobody asked to delete that."""
    async with world.process() as process:
        first = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="subvolume/remove", times=1)
        with pytest.raises(NotFinal):
            await process.controller.delete_volume(first.volume_id)
        old = world.copied_journal("deleting")
        await settle(lambda: process.controller.delete_volume(first.volume_id))
        second = await process.controller.create_volume(wish("pvc-1"))
        if published:
            await process.controller.publish_volume(attach(second))
    before = holdings(world.machine)
    async with world.process(old) as process:
        assert [one.kind for one in await process.journal.open_operations()] == ["delete"]
        await trio.sleep(2 * world.options.refresh_every)
        assert holdings(world.machine) == before
        [ended] = [one for one in await process.journal.operations() if one.kind == "delete"]
        assert (ended.state, ended.outcome) == ("done", "gone; what bears the name now was made since")
        assert await process.controller.create_volume(wish("pvc-1")) == second


async def test_an_old_delete_does_not_end_while_the_slot_holds_what_nobody_can_tell(
    world: World, autojump_clock: MockClock
) -> None:
    """The item of a newer create whose file went by hand: no inventory learns it, and it is not removed either."""
    async with world.process() as process:
        first = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="subvolume/remove", times=1)
        with pytest.raises(NotFinal):
            await process.controller.delete_volume(first.volume_id)
        old = world.copied_journal("deleting")
        await settle(lambda: process.controller.delete_volume(first.volume_id))
        second = await process.controller.create_volume(wish("pvc-1"))
        record = await process.journal.volume(second.volume_id)
        assert record is not None
        world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{record.slot}.{record.backing}"]')
    async with world.process(old) as process:
        await trio.sleep(2 * world.options.refresh_every)
        assert _disk(world, second.volume_id) is not None
        [left] = await process.journal.open_operations()
        assert left.kind == "delete"
        assert "what another create of that name made" in left.error


async def test_what_was_done_to_a_volume_since_is_learned_from_its_tag(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        old = world.copied_journal("made")
        context = await process.controller.publish_volume(attach(volume))
    async with world.process(old) as process:
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert (record.csi_name, record.ever_published) == ("pvc-1", True)
        assert await process.controller.publish_volume(attach(volume)) == context


async def test_an_old_unpublish_does_not_cut_off_whoever_came_since(world: World, autojump_clock: MockClock) -> None:
    """Finding 13: an intent belongs to one generation of the tag."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        world.faults.add("drop-before", contains="nvme-tcp-export=no", times=1)
        with pytest.raises(NotFinal):
            await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        old = world.copied_journal("unpublishing")
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        context = await process.controller.publish_volume(attach(volume))
    async with world.process(old) as process:
        await process.wait_settled()
        assert _exported(world) == [context["subnqn"]]
        assert await process.controller.publish_volume(attach(volume)) == context
        [overtaken] = [one for one in await process.journal.operations() if one.kind == "unpublish"]
        assert overtaken.state == "refused"


async def test_a_repair_that_an_old_journal_holds_does_not_turn_the_appliance_back(
    forgetful: World, autojump_clock: MockClock
) -> None:
    async with forgetful.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(60)
        await process.controller.publish_volume(attach(volume))
        assert forgetful.appliance.reboot() > 0
        forgetful.faults.add("drop-before", contains="nvme-tcp-export=yes", times=1)
        old = None
        while old is None:
            await trio.sleep(1)
            if [one for one in await process.journal.open_operations() if one.kind == "restore"]:
                old = forgetful.copied_journal("restoring")
        await process.wait_settled()
        await settle(lambda: process.controller.unpublish_volume(volume.volume_id, NODE_A))
        await trio.sleep(60)
    async with forgetful.process(old) as process:
        await process.wait_settled()
        assert _exported(forgetful) == []


async def test_a_repair_that_an_old_journal_holds_is_not_made_to_what_was_made_since(
    forgetful: World, autojump_clock: MockClock
) -> None:
    world = forgetful
    async with world.process() as process:
        await trio.sleep(90)
        first = await process.controller.create_volume(wish("pvc-1"))
        assert world.appliance.reboot() > 0
        world.faults.add("drop-before", contains="/disk/add", times=1)
        while not [one for one in await process.journal.open_operations() if one.kind == "restore"]:
            await trio.sleep(1)
        old = world.copied_journal("restoring")
        await process.wait_settled()
        await settle(lambda: process.controller.delete_volume(first.volume_id))
        second = await process.controller.create_volume(wish("pvc-1"))
        context = await process.controller.publish_volume(attach(second))
        await trio.sleep(90)
    async with world.process(old) as process:
        await process.wait_settled()
        [restore] = [one for one in await process.journal.operations() if one.kind == "restore"]
        assert (restore.state, restore.outcome) == ("done", "gone; what bears the name now was made since")
        assert _exported(world) == [context["subnqn"]]
        assert await process.controller.publish_volume(attach(second)) == context


async def test_a_slot_that_a_newer_create_of_ours_has_is_no_strangers(world: World, autojump_clock: MockClock) -> None:
    """Finding 10: NotOurs would be final, and the newer create's half-made volume would stay."""
    async with world.process() as process:
        world.faults.add("drop-before", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        old = world.copied_journal("first")
        await trio.sleep(world.options.abandon_after + 120)
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
    async with world.process(old) as process:
        with pytest.raises(Quarantined, match="taken"):
            await process.controller.create_volume(wish("pvc-1"))


async def test_a_file_that_no_journal_knows_is_not_called_deleted(world: World, autojump_clock: MockClock) -> None:
    """Finding 8: the journal was lost between the removal of the item and that of its file."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
    slot = volume.volume_id.partition("/")[2]
    world.appliance.run(f"/disk/remove [find where slot={slot}]")
    leaves = holdings(world.machine).leaves
    async with world.process(world.directory / "fresh.db") as process:
        with pytest.raises(Quarantined, match="file of that name"):
            await process.controller.delete_volume(volume.volume_id)
    assert leaves - holdings(world.machine).leaves == frozenset()


async def test_a_deleting_tag_is_carried_on_with_by_a_journal_that_knows_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    """Finding 9: the journal was lost while a volume was being removed."""
    async with world.process() as process:
        before = holdings(world.machine)
        volume = await process.controller.create_volume(wish("pvc-1"))
    _edit(world, volume.volume_id, "v ready", "v deleting", "gen=2", "gen=3")
    async with world.process(world.directory / "fresh.db") as process:
        await trio.sleep(2 * world.options.refresh_every)
        gone = Promises(gone={volume.volume_id})
        assert await violations(world.machine, process.journal, gone, before) == []
        assert await settle(lambda: process.controller.create_volume(wish("pvc-1"))) == volume


async def test_who_leads_takes_the_token_back_when_a_power_loss_brings_the_former_marker(
    forgetful: World, autojump_clock: MockClock
) -> None:
    """Finding 2: a marker that names another journal, but an older token, is a memory of the appliance."""
    async with forgetful.process():
        await trio.sleep(60)
    second = forgetful.directory / "second.db"
    async with forgetful.process(second, ready=False) as process:
        while process.controller.backend.device.marker is None:
            await trio.sleep(0.5)
        await trio.sleep(2)
        assert forgetful.appliance.reboot() > 0
    async with forgetful.process(second) as process:
        await process.controller.create_volume(wish("pvc-1"))


async def test_nothing_is_sent_under_a_token_before_it_is_persistent(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Finding 1: a power loss would bring the former token back, and its holder does not know that it lost it."""
    options = dataclasses.replace(OPTIONS, flush_delay=25.0)
    async with open_world(tmp_path, options=options) as world:
        async with world.process():
            await trio.sleep(60)
        began = trio.current_time()
        async with world.process() as process:
            await settle(lambda: process.controller.create_volume(wish("pvc-1")))
        assert 25 <= trio.current_time() - began < 40


def _edit(world: World, volume_id: str, *pairs: str) -> None:
    """Edit a volume's tag as a power loss, or another journal, would have left it."""
    disk = _disk(world, volume_id)
    assert disk is not None
    comment = str(disk.setting("comment", ""))
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert comment.count(old) == 1
        comment = comment.replace(old, new)
    world.appliance.run(f'/disk/set [find where slot={disk.slot}] comment="{comment}"')


def _disk(world: World, volume_id: str) -> Disk | None:
    return world.appliance.storage.disks.by_slot(volume_id.partition("/")[2])


def _exported(world: World) -> list[str]:
    return [str(one.setting("nvme-tcp-server-nqn", "")) for one in world.appliance.storage.disks if one.exported]
