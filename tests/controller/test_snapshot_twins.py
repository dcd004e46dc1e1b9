"""Several subvolumes that bear one snapshot's id: whoever deletes the snapshot is rid of all of them."""

import pytest
import trio
from snapshots_rig import leaves, snapshot_record, taken
from trio.testing import MockClock

from rdscsi.controller.snapshot_survey import SnapshotSurvey
from rdscsi.errors import OperationPending
from rdscsi.names import Backing, parse_snapshot_backing
from rdscsi.routeros.answers import Answer
from rdscsi.testing.world import Process, World


async def add_twin(world: World, process: Process, snapshot_id: str, operation: str = "aaaaaaaaaaaa2") -> str:
    """Make what a create left of which the journal, an old copy, knows nothing; its name."""
    own = parse_snapshot_backing((await snapshot_record(process, snapshot_id)).leaf)
    assert own is not None
    twin = own.name.replace(own.operation, operation)
    add_subvolume(world, twin)
    return twin


def add_subvolume(world: World, leaf: str) -> None:
    source = next(one for one in leaves(world.appliance) if one.startswith("v"))
    made = f'fs=pool1 parent="rdscsi/{source}" read-only=yes name="rdscsi/{leaf}"'
    assert world.appliance.run(f"/disk/btrfs/subvolume/add {made}") == ""


def snapshots(world: World) -> list[str]:
    return [one for one in leaves(world.appliance) if one.startswith("s")]


async def test_a_delete_takes_all_that_bears_the_id_for_good(world: World, autojump_clock: MockClock) -> None:
    """Found by a seed: the other one was learned afterwards, as a snapshot that somebody was told is gone."""
    async with world.process() as process:
        _, snapshot = await taken(process)
        twin = await add_twin(world, process, snapshot.snapshot_id)
        await trio.sleep(2 * world.options.refresh_every)
        assert not (await snapshot_record(process, snapshot.snapshot_id)).quarantine
        await process.controller.delete_snapshot(snapshot.snapshot_id)
        assert snapshots(world) == []
        add_subvolume(world, twin)  # as a power loss would
        await trio.sleep(2 * world.options.refresh_every)
        assert snapshots(world) == []
        assert await process.journal.snapshots() == []


async def test_one_that_no_inventory_has_shown_is_found_after_a_start(world: World, autojump_clock: MockClock) -> None:
    """It came after the first inventory: a line that was out when the former process died had made it."""
    async with world.process() as process:
        _, snapshot = await taken(process)
    async with world.process() as process:
        await process.wait_settled()
        await add_twin(world, process, snapshot.snapshot_id)
        await process.controller.delete_snapshot(snapshot.snapshot_id)
        assert snapshots(world) == []


async def test_without_an_inventory_it_looks_itself_and_once(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        record = await snapshot_record(process, snapshot.snapshot_id)
        backend = process.controller.backend
        survey = SnapshotSurvey(backend.device, backend.options.cluster_id)
        assert [one.name for one in await survey.of(record.slot)] == [record.leaf]
        world.faults.add("drop-before")
        assert [one.name for one in await survey.of(record.slot)] == [record.leaf]
        assert await survey.of("another") == []


async def test_while_former_lines_may_act_nothing_is_said_of_who_bears_the_id(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        record = await snapshot_record(process, snapshot.snapshot_id)
    async with world.process() as process:
        await process.wait_settled()
        survey = process.controller.backend.snapshot_survey
        assert not process.controller.backend.device.former_lines_ended
        with pytest.raises(OperationPending, match="may still act"):
            await survey.of(record.slot)
        await process.controller.backend.device.wait_settled(record.slot)
        assert [one.name for one in await survey.of(record.slot)] == [record.leaf]


@pytest.mark.parametrize("after", [False, True], ids=["before the line", "after the line"])
async def test_a_crash_before_the_other_is_removed_leaves_it_to_the_next_process(
    after: bool, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        twin = await add_twin(world, process, snapshot.snapshot_id)
        await trio.sleep(2 * world.options.refresh_every)
        device = process.controller.backend.device
        remove = device.remove

        async def dying(backing: Backing, *, old_tag: str, new_tag: str) -> Answer:
            if backing.name == twin and not after:
                world.crash()
            answer = await remove(backing, old_tag=old_tag, new_tag=new_tag)
            if backing.name == twin:
                world.crash()
            return answer

        monkeypatch.setattr(device, "remove", dying)
        await process.controller.delete_snapshot(snapshot.snapshot_id)
    assert snapshots(world) == ([] if after else [twin])
    async with world.process() as process:
        await process.wait_settled()
        await trio.sleep(2 * world.options.refresh_every)
        assert snapshots(world) == []
        assert await process.journal.open_operations() == []
