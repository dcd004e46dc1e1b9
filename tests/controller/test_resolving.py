"""What ends a quarantine that a person resolves: snapshots, and records that are dropped under an open operation."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotFinal, OperationPending
from rdscsi.journal import Json, OperationRecord, SnapshotRecord, asking, changes
from rdscsi.model import MIB, CapacityRange, Snapshot, SnapshotRequest, Volume
from rdscsi.names import parse_snapshot_backing
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.world import Process, World

SIZE = 64 * MIB


def _add(world: World, source: str, leaf: str) -> None:
    made = f'fs=pool1 parent="rdscsi/{source}" read-only=yes name="rdscsi/{leaf}"'
    assert world.appliance.run(f"/disk/btrfs/subvolume/add {made}") == ""


def _remove(world: World, leaf: str) -> None:
    assert world.appliance.run(f'/disk/btrfs/subvolume/remove [find where name="{leaf}"]') == ""


def _leaves(world: World) -> set[str]:
    return {one.name for one in world.appliance.storage.subvolumes if "/" in one.fullname}


async def _rounds(world: World) -> None:
    await trio.sleep(2 * world.options.refresh_every)


async def _asked(world: World, process: Process, what: str, how: str) -> OperationRecord:
    """Ask to resolve as the command line does, and wait for the end."""
    request: dict[str, Json] = {"how": how}
    asked = asking.ask(world.journal_path, asking.RESOLVE, what, request, now=0.0)
    with trio.fail_after(3 * world.options.refresh_every):
        while True:
            found = await process.journal.operation_record(asked)
            assert found is not None
            if found.state != "open":
                return found
            await trio.sleep(1)


async def _snapshot(process: Process) -> tuple[Volume, Snapshot, SnapshotRecord]:
    volume = await process.controller.create_volume(wish("pvc-1", SIZE))
    snapshot = await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
    return volume, snapshot, await _record(process, snapshot)


async def _record(process: Process, snapshot: Snapshot) -> SnapshotRecord:
    record = await process.journal.snapshot(snapshot.snapshot_id)
    assert record is not None
    return record


def _source(world: World, volume: Volume) -> str:
    return next(one for one in _leaves(world) if one.startswith(volume.volume_id.partition("/")[2]))


class TestSnapshots:
    async def test_another_subvolume_under_its_name_is_believed_when_a_person_says_so(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume, snapshot, record = await _snapshot(process)
            _remove(world, record.leaf)
            _add(world, _source(world, volume), record.leaf)
            await _rounds(world)
            assert "another subvolume has taken the name" in (await _record(process, snapshot)).quarantine
            done = await _asked(world, process, snapshot.snapshot_id, "accept")
            assert (done.state, done.error) == ("done", "")
            after = await _record(process, snapshot)
            assert (after.quarantine, after.state, after.leaf) == ("", "ready", record.leaf)
            assert after.uuid not in ("", record.uuid)
            await _rounds(world)
            assert (await process.controller.get_snapshot(snapshot.snapshot_id)).ready

    async def test_what_may_have_been_written_to_is_not_believed(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            _, snapshot, record = await _snapshot(process)
            change = f'/disk/btrfs/subvolume/set [find where name="{record.leaf}"] read-only='
            assert world.appliance.run(change + "no") == ""
            await _rounds(world)
            for how, why in (("accept", "read-only=yes"), ("restore", "nothing that"), ("forget", "is still there")):
                ended = await _asked(world, process, snapshot.snapshot_id, how)
                assert ended.state == "refused"
                assert why in ended.error
            assert (await _record(process, snapshot)).quarantine
            assert world.appliance.run(change + "yes") == ""
            await _rounds(world)
            assert (await _record(process, snapshot)).quarantine == "", "the inventory takes it back by itself"

    async def test_a_lost_one_is_forgotten_and_never_believed(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume, snapshot, record = await _snapshot(process)
            _remove(world, record.leaf)
            await _rounds(world)
            ended = await _asked(world, process, snapshot.snapshot_id, "accept")
            assert (ended.state, "is not on the appliance" in ended.error) == ("refused", True)
            done = await _asked(world, process, snapshot.snapshot_id, "forget")
            assert (done.state, done.outcome, done.error) == ("done", "forgotten", "")
            assert await process.journal.snapshots() == []
            _add(world, _source(world, volume), record.leaf)
            await _rounds(world)
            assert record.leaf in _leaves(world), "what comes back of what was forgotten is not erased"
            assert (await process.controller.get_snapshot(snapshot.snapshot_id)).ready

    async def test_one_that_is_as_it_should_be_has_nothing_to_resolve(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            _, snapshot, _ = await _snapshot(process)
            done = await _asked(world, process, snapshot.snapshot_id, "accept")
            assert done.outcome == "it is not quarantined any more; nothing was done"

    async def test_of_two_under_one_name_nobody_is_taken_before_a_person_decides(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume, snapshot, record = await _snapshot(process)
            backing = parse_snapshot_backing(record.leaf)
            assert backing is not None
            other = record.leaf.replace(backing.operation, "a" * len(backing.operation))
            _add(world, _source(world, volume), other)
        async with world.process(world.directory / "new.db") as process:
            for _ in range(2):
                await _rounds(world)
                found = await _record(process, snapshot)
                assert "subvolumes bear its name" in found.quarantine
            asking.ask(world.directory / "new.db", asking.RESOLVE, snapshot.snapshot_id, {"how": "accept"}, now=0.0)
            await _rounds(world)
            after = await _record(process, snapshot)
            assert (after.quarantine, after.leaf) == ("", found.leaf)
            assert _leaves(world) >= {record.leaf, other}, "nothing is erased"


class TestForgettingUnderAnOpenOperation:
    async def test_a_delete_that_was_open_ends(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1", SIZE))
            slot, leaf = volume.volume_id.partition("/")[2], _source(world, volume)
            world.appliance.run(f"/disk/remove [find where slot={slot}]")
            _remove(world, leaf)
            await _rounds(world)
            world.faults.add("drop-before", contains="subvolume/remove")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle, lambda: process.controller.delete_volume(volume.volume_id))
                await _rounds(world)
                done = await _asked(world, process, volume.volume_id, "forget")
                assert (done.state, done.outcome, done.error) == ("done", "forgotten", "")
                world.faults.clear()
            assert await process.journal.open_operations() == []
            assert await process.journal.volumes() == []
            (stone,) = await process.journal.tombstones()
            assert stone.volume_id == volume.volume_id, "it was being deleted: what comes back of it is erased"
            ended = await process.journal.operations()
            assert {(one.kind, one.state) for one in ended} >= {("delete", "superseded"), ("resolve", "done")}

    async def test_an_expansion_that_was_open_ends(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1", SIZE))
            await process.controller.publish_volume(attach(volume))
            slot, leaf = volume.volume_id.partition("/")[2], _source(world, volume)
            world.faults.add("drop-before", contains="file-size")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_try_to_grow, process, volume)
                await trio.sleep(1)
                world.appliance.run(f"/disk/remove [find where slot={slot}]")
                _remove(world, leaf)
                await _rounds(world)
                world.faults.clear()
                await _rounds(world)
                assert [one.kind for one in await process.journal.open_operations()] == ["expand"]
                done = await _asked(world, process, volume.volume_id, "forget")
                assert (done.state, done.outcome, done.error) == ("done", "forgotten", "")
                assert await process.journal.open_operations() == []
                await process.controller.unpublish_volume(volume.volume_id, NODE_A)
                await process.controller.delete_volume(volume.volume_id)

    async def test_a_snapshots_delete_that_was_open_ends(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            _, snapshot, record = await _snapshot(process)
            _remove(world, record.leaf)
            await _rounds(world)
            world.faults.add("drop-before", contains="subvolume/remove")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle, lambda: process.controller.delete_snapshot(snapshot.snapshot_id))
                await _rounds(world)
                done = await _asked(world, process, snapshot.snapshot_id, "forget")
                assert (done.state, done.outcome, done.error) == ("done", "forgotten", "")
                world.faults.clear()
            assert await process.journal.open_operations() == []
            assert await process.journal.snapshots() == []
            assert [stone.volume_id for stone in await process.journal.tombstones()] == [snapshot.snapshot_id]


class TestWhatSpeaksAgainstIt:
    async def test_a_record_without_a_tag_cannot_be_put_back(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1", SIZE))
            record = await process.journal.volume(volume.volume_id)
            assert record is not None
            with pytest.raises(OperationPending):  # what is open keeps an inventory from learning the tag anew
                async with process.journal.operation("create", volume.volume_id, {"name": "pvc-1"}):
                    raise RuntimeError("left open")
            await process.journal.commit(changes.put_volume(replace(record, tag="", quarantine="contradiction: odd")))
            ended = await _asked(world, process, volume.volume_id, "restore")
            assert (ended.state, "holds no tag that could be put back" in ended.error) == ("refused", True)

    async def test_a_wish_waits_while_nobody_can_look(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            _, snapshot, record = await _snapshot(process)
            _remove(world, record.leaf)
            await _rounds(world)
            world.faults.add("drop-before", contains=record.leaf)
            asked = asking.ask(world.journal_path, asking.RESOLVE, snapshot.snapshot_id, {"how": "forget"}, now=0.0)
            await _rounds(world)
            waiting = await process.journal.operation_record(asked)
            assert waiting is not None
            assert waiting.state == "open"
            assert waiting.attempts > 1
            world.faults.clear()
            await _rounds(world)
            done = await process.journal.operation_record(asked)
            assert done is not None
            assert (done.state, done.outcome) == ("done", "forgotten")


async def _try_to_grow(process: Process, volume: Volume) -> None:
    with pytest.raises(NotFinal):
        await process.controller.expand_volume(volume.volume_id, CapacityRange(2 * SIZE), None)
