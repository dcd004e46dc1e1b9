"""DeleteVolume and ControllerExpandVolume: proof before success, refusals that change nothing."""

from dataclasses import replace

import pytest
from trio.testing import MockClock

from rdscsi import names
from rdscsi.controller import expansion
from rdscsi.errors import (
    CapacityOutOfRange,
    InvalidRequest,
    NotFinal,
    NotFound,
    NotPermittedNow,
    OperationPending,
    OutOfSpace,
    Quarantined,
    Refused,
)
from rdscsi.journal import Json
from rdscsi.model import GIB, MIB, CapacityRange
from rdscsi.simulator.faults import Fault
from rdscsi.testing.invariants import holdings
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.world import World

CLUSTER_TWO = "99999999-2222-3333-4444-555555555555"


async def test_delete_leaves_nothing_on_the_appliance_and_a_tombstone(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        volume = await process.controller.create_volume(wish("pvc-1"))
        assert holdings(world.machine) != before
        await process.controller.delete_volume(volume.volume_id)
        assert holdings(world.machine) == before
        [stone] = await process.journal.tombstones()
        assert stone.volume_id == volume.volume_id
        await process.controller.delete_volume(volume.volume_id)


async def test_delete_is_refused_while_a_node_is_in(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        before = holdings(world.machine)
        with pytest.raises(NotPermittedNow, match=NODE_A):
            await process.controller.delete_volume(volume.volume_id)
        assert holdings(world.machine) == before
        assert await process.journal.open_operations() == []


@pytest.mark.parametrize("volume_id", ["", "nonsense", "rds/", "rds/pool1", "pool1", "rds/backup", "../../etc"])
async def test_an_id_that_is_not_ours_is_deleted_already_and_nothing_is_touched(
    volume_id: str, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        world.appliance.run("/disk/add type=file slot=backup file-path=pool1/b.img file-size=1048576")
        before, lines = holdings(world.machine), len(world.appliance.history)
        await process.controller.delete_volume(volume_id)
        assert holdings(world.machine) == before
        assert len(world.appliance.history) == lines


@pytest.mark.parametrize(
    "volume_id",
    [
        names.volume_id("rds", names.slot(names.KIND_VOLUME, CLUSTER_TWO, "pvc-1")),
        names.volume_id("other", names.slot(names.KIND_VOLUME, CLUSTER_TWO, "pvc-1")),
    ],
    ids=["another cluster", "another backend"],
)
async def test_an_id_of_somebody_else_is_refused(volume_id: str, world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        with pytest.raises(InvalidRequest):
            await process.controller.delete_volume(volume_id)


async def test_a_delete_that_was_cut_short_is_finished_without_the_caller(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.strikes.arm([Strike(Where.STATEMENT, 1, What.CUT, statement=3)])
        with pytest.raises(NotFinal):
            await process.controller.delete_volume(volume.volume_id)
        world.crash()
    async with world.process() as process:
        await process.wait_settled()
        assert await process.journal.open_operations() == []
        assert holdings(world.machine) == before


async def test_a_delete_takes_the_place_of_a_create_that_was_left_open(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        volume_id = names.volume_id("rds", process.controller.backend.slot("pvc-1"))
        await settle(lambda: process.controller.delete_volume(volume_id))
        assert holdings(world.machine) == before


async def test_a_file_that_another_disk_uses_stays(world: World, autojump_clock: MockClock) -> None:
    """An operator attached our file a second time: it is not pulled from under that item."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        [disk] = [one for one in world.appliance.storage.disks if one.slot in volume.volume_id]
        world.appliance.run(f"/disk/add type=file slot=second file-path={disk.file_name}")
        with pytest.raises(NotFinal, match="still there"):
            await process.controller.delete_volume(volume.volume_id)
        assert world.appliance.storage.files.path(disk.file_name).exists()
        world.appliance.run("/disk/remove second")
        await settle(lambda: process.controller.delete_volume(volume.volume_id))
        assert not world.appliance.storage.files.path(disk.file_name).exists()


async def test_an_item_whose_tag_was_changed_by_hand_is_not_removed(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="do not delete"')
        with pytest.raises(NotFinal):
            await process.controller.delete_volume(volume.volume_id)
        assert any(one.slot == slot for one in world.appliance.storage.disks)


async def test_expansion_grows_and_repeats_and_never_shrinks(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        for size, expected in ((100 * MIB, 100 * MIB), (100 * MIB, 100 * MIB), (MIB, 100 * MIB), (101 * MIB - 1, 101)):
            grown = await controller.expand_volume(volume.volume_id, CapacityRange(size), None)
            assert grown.capacity_bytes in (expected, expected * MIB)
        assert (await controller.get_volume(volume.volume_id)).capacity_bytes == 101 * MIB


async def test_what_was_expanded_is_answered_again_when_the_pool_is_over_full(
    world: World, autojump_clock: MockClock
) -> None:
    """Somebody else filled the pool below the reserve: a repeated call asks for nothing more."""
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(100 * MIB), None)
        space = controller.backend.space
        assert space.pool is not None
        with space.promise("another", GIB, 0):
            space.saw(replace(space.pool, free=0))
            assert await controller.expand_volume(volume.volume_id, CapacityRange(100 * MIB), None) == grown


async def test_an_expansion_past_the_pool_ends_one_that_is_open(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before")
        with pytest.raises(NotFinal):
            await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        world.faults.clear()
        with pytest.raises(OutOfSpace):
            await controller.expand_volume(volume.volume_id, CapacityRange(4096 * GIB), None)
        assert await process.journal.open_operations() == []
        assert (await controller.get_volume(volume.volume_id)).capacity_bytes == volume.capacity_bytes


async def test_an_expansion_past_the_pool_takes_back_a_size_that_is_told_alone(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        told = world.machine.items()[slot].comment
        larger = told.replace(f"size={volume.capacity_bytes}", f"size={2 * volume.capacity_bytes}")
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="{larger}"')
        with pytest.raises(OutOfSpace):
            await controller.expand_volume(volume.volume_id, CapacityRange(4096 * GIB), None)
        assert f"size={volume.capacity_bytes} " in world.machine.items()[slot].comment
        assert await process.journal.open_operations() == []


async def test_space_that_was_made_meanwhile_is_seen_before_an_expansion_is_refused(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        space = controller.backend.space
        assert space.pool is not None
        space.saw(replace(space.pool, free=0))
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        assert grown.capacity_bytes == 2 * GIB


async def test_an_expansion_that_was_carried_out_is_taken_up_and_sends_nothing_that_could_be_refused(
    world: World, autojump_clock: MockClock
) -> None:
    """Found by seeds: it superseded itself, moved the tag on, and was refused although the volume had grown."""
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-after", contains="file-size=", times=1)
        with pytest.raises(NotFinal):
            await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        [intent] = await process.journal.open_operations()
        world.faults.add("refuse", contains="file-size=", times=1)
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        assert grown.capacity_bytes == 2 * GIB
        ended = await process.journal.operation_record(intent.id)
        assert ended is not None
        assert (ended.state, ended.attempts) == ("done", 2)


async def test_a_size_that_the_volume_has_is_not_refused(world: World, autojump_clock: MockClock) -> None:
    """It supersedes an expansion whose end is open, so that the tag has to move on; that is refused."""
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="file-size=", times=1)
        with pytest.raises(NotFinal):
            await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        world.faults.add("refuse", contains="file-size=", times=1)
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(volume.capacity_bytes), None)
        assert grown.capacity_bytes == volume.capacity_bytes
        assert await process.journal.open_operations() == []


async def test_an_intent_of_an_earlier_version_is_refused_without_a_change(
    world: World, autojump_clock: MockClock
) -> None:
    """It did not take down for which generation it was made: nothing tells whether it is past."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        before = holdings(world.machine)
        wanted: dict[str, Json] = {"size_bytes": 4096 * GIB}
        with pytest.raises(OutOfSpace):
            async with process.journal.operation(expansion.KIND, volume.volume_id, wanted) as operation:
                await expansion.carry_out(process.controller.backend, operation)
        assert holdings(world.machine) == before


async def test_expansion_past_its_limit_or_the_pool_changes_nothing(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        before = holdings(world.machine)
        with pytest.raises(CapacityOutOfRange):
            await controller.expand_volume(volume.volume_id, CapacityRange(MIB, 2 * MIB), None)
        with pytest.raises(OutOfSpace):
            await controller.expand_volume(volume.volume_id, CapacityRange(4096 * GIB), None)
        assert holdings(world.machine) == before
        assert await process.journal.open_operations() == []


async def test_a_refused_expansion_leaves_size_and_tag_as_they_were(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.strikes.arm([Strike(Where.STATEMENT, 1, What.REFUSED, statement=2)])
        with pytest.raises(Refused):
            await controller.expand_volume(volume.volume_id, CapacityRange(GIB), None)
        found = await process.journal.volume(volume.volume_id)
        assert found is not None
        assert found.capacity_bytes == 64 * MIB
        assert "size=67108864" in found.tag
        grown = await controller.expand_volume(volume.volume_id, CapacityRange(GIB), None)
        assert grown.capacity_bytes == GIB


async def test_expansion_of_what_is_not_there_is_not_found(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        absent = names.volume_id("rds", process.controller.backend.slot("other"))
        for volume_id in (absent, "nonsense"):
            with pytest.raises(NotFound):
                await process.controller.expand_volume(volume_id, CapacityRange(GIB), None)


async def test_a_volume_on_its_way_out_is_worked_with_no_more(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="/disk/remove", times=1)
        with pytest.raises(NotFinal):
            await controller.delete_volume(volume.volume_id)
        for call in (
            lambda: controller.expand_volume(volume.volume_id, CapacityRange(GIB), None),
            lambda: controller.publish_volume(attach(volume)),
            lambda: controller.create_volume(wish("pvc-1")),
        ):
            with pytest.raises((OperationPending, Quarantined)):
                await call()


async def test_a_published_volume_whose_item_became_another_is_neither_deleted_nor_called_published(
    world: World, autojump_clock: MockClock
) -> None:
    """A final refusal is told from a fresh look, and that shows something that is not this volume's."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        slot = volume.volume_id.partition("/")[2]
        world.appliance.run(f'/disk/set [find where slot={slot}] comment="mine"')
        before = holdings(world.machine)
        with pytest.raises(Quarantined, match="is not this volume's"):
            await process.controller.delete_volume(volume.volume_id)
        assert holdings(world.machine) == before


async def test_an_expansion_that_is_refused_while_nobody_waits_is_closed(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before", contains="file-size", times=1)
        with pytest.raises(NotFinal):
            await process.controller.expand_volume(volume.volume_id, CapacityRange(GIB), None)
        world.faults.add(Fault("refuse", text="failure: no", path="/disk/set"), contains="file-size", times=1)
        await process.wait_settled()
        [expansion] = [one for one in await process.journal.operations() if one.kind == "expand"]
        assert expansion.state == "refused"
        found = await process.journal.volume(volume.volume_id)
        assert found is not None
        assert found.capacity_bytes == 64 * MIB


async def test_a_tag_that_changes_under_each_removal_is_given_time(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        slot = volume.volume_id.partition("/")[2]
        disk = world.appliance.storage.disks.by_slot(slot)
        assert disk is not None
        for generation in (5, 6, 7):
            comment = str(disk.setting("comment", "")).replace("gen=2", f"gen={generation}")
            meddle = Fault("meddle", mutation=0, text=f'/disk/set [find where slot={slot}] comment="{comment}"')
            world.faults.add(meddle, contains="v deleting", times=1)
        with pytest.raises(OperationPending, match="changes under the removal"):
            await process.controller.delete_volume(volume.volume_id)
        await process.wait_settled()
        assert world.appliance.storage.disks.by_slot(slot) is None
        assert await process.journal.volumes() == []
