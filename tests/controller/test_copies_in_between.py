"""What changes between the intent of a copy and its line: sources that grow, go, or are not ready; and lost answers."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

import pytest
import trio
from claims_rig import SHORT, Cluster, orphaned, patience, retag, the_create, world_volume_id
from snapshots_rig import restored, snapshot_record, taken
from trio.testing import MockClock

from rdscsi.controller import snapshot_creation
from rdscsi.controller.sources import SOURCE
from rdscsi.errors import (
    Abandoned,
    CapacityOutOfRange,
    NotFinal,
    NotFound,
    OperationPending,
    OutcomeUnknown,
    Refused,
    UnexpectedAnswer,
)
from rdscsi.journal import changes
from rdscsi.model import MIB, CapacityRange, ContentSource, SnapshotRequest, Volume, VolumeRequest
from rdscsi.names import Backing
from rdscsi.routeros.answers import Answer
from rdscsi.routeros.lines import NewCopy
from rdscsi.testing.orchestrator import settle, wish
from rdscsi.testing.world import Process, World

LARGE = CapacityRange(96 * MIB)


def after_itself(line: Callable[..., Awaitable[Answer]], error: Exception) -> Callable[..., Awaitable[Answer]]:
    """The line does its work, and ends with an error all the same."""

    async def ending(*arguments: object) -> Answer:
        await line(*arguments)
        raise error

    return ending


def not_at_all(error: Exception) -> Callable[..., Awaitable[Answer]]:
    async def ending(*_arguments: object) -> Answer:
        await trio.lowlevel.checkpoint()
        raise error

    return ending


def grow_by_hand(world: World, process: Process, volume: Volume) -> None:
    """As a line does that was late."""
    slot = volume.volume_id.partition("/")[2]
    world.appliance.run(f"/disk/set [find where slot={slot}] file-size={LARGE.required_bytes}")
    retag(world, f" size={64 * MIB}", f" size={LARGE.required_bytes}")
    process.controller.backend.catalogue.doubt(slot)


async def clone_of_a_source_that_grew(world: World, process: Process, monkeypatch: pytest.MonkeyPatch) -> VolumeRequest:
    """The first attempt has left its intent; then the source grows."""
    source = await process.controller.create_volume(wish("pvc-1", 64 * MIB))
    request = restored("pvc-2", ContentSource(volume_id=source.volume_id), limit=64 * MIB)
    with monkeypatch.context() as patch:
        patch.setattr(process.controller.backend.device, "copy", not_at_all(OutcomeUnknown("nobody knows")))
        with pytest.raises(NotFinal):
            await process.controller.create_volume(request)
    grow_by_hand(world, process, source)
    return request


async def test_a_clone_of_what_has_grown_beyond_its_intent_is_begun_again(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        request = await clone_of_a_source_that_grew(world, process, monkeypatch)
        with pytest.raises(Abandoned, match="has grown to"):
            await process.controller.create_volume(request)
        [copy] = [one for one in await process.journal.operations() if one.kind == "create" and SOURCE in one.request]
        assert copy.state == "refused"
        assert "has grown to 100663296 bytes" in copy.error
        with pytest.raises(CapacityOutOfRange):
            await process.controller.create_volume(request)
        larger = replace(request, capacity_range=CapacityRange(0, 0))
        volume = await process.controller.create_volume(larger)
        assert volume.capacity_bytes == LARGE.required_bytes


async def test_a_snapshot_is_as_large_as_its_volume_is_when_it_is_taken(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", 64 * MIB))
        request = SnapshotRequest("snap-1", volume.volume_id)
        with monkeypatch.context() as patch:
            patch.setattr(process.controller.backend.device, "copy", not_at_all(OutcomeUnknown("nobody knows")))
            with pytest.raises(NotFinal):
                await process.controller.create_snapshot(request)
        grow_by_hand(world, process, volume)
        snapshot = await process.controller.create_snapshot(request)
        assert snapshot.size_bytes == LARGE.required_bytes
        record = await snapshot_record(process, snapshot.snapshot_id)
        assert record.leaf.endswith(f".{LARGE.required_bytes}")
        assert record.leaf in {leaf.rpartition("/")[2] for leaf in world.machine.leaves()}


async def test_a_source_that_is_another_when_the_line_comes_is_not_copied(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        source = await process.controller.create_volume(wish("pvc-1", 64 * MIB))
        slot = source.volume_id.partition("/")[2]
        device = process.controller.backend.device
        copy = device.copy

        async def too_late(new: NewCopy) -> Answer:
            world.machine.remove_by_hand(slot)
            return await copy(new)

        request = restored("pvc-2", ContentSource(volume_id=source.volume_id))
        with monkeypatch.context() as patch:
            patch.setattr(device, "copy", too_late)
            with pytest.raises(OperationPending, match="not what it was taken for"):
                await process.controller.create_volume(request)
        copied = await settle(lambda: process.controller.create_volume(request))
        assert world.machine.origins()[next(leaf for leaf in world.machine.origins() if copied.volume_id[4:] in leaf)]


@pytest.mark.parametrize("state", ["deleting", "creating"])
async def test_what_is_not_ready_is_no_source(
    state: Literal["deleting", "creating"], world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume, snapshot = await taken(process)
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        own = await snapshot_record(process, snapshot.snapshot_id)
        await process.journal.commit(
            changes.put_volume(replace(record, state=state)), changes.put_snapshot(replace(own, state=state))
        )
        for source in (ContentSource(volume_id=volume.volume_id), ContentSource(snapshot_id=snapshot.snapshot_id)):
            with pytest.raises(OperationPending, match=f"is {state}"):
                await process.controller.create_volume(restored("pvc-2", source))
        assert await process.journal.open_operations() == []


async def test_what_the_appliance_does_not_show_as_ready_is_no_source(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        retag(world, " ready ", " creating ")
        process.controller.backend.catalogue.doubt(volume.volume_id.partition("/")[2])
        with pytest.raises(OperationPending, match="is creating, with 67108864 bytes"):
            await process.controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))


async def test_a_snapshot_that_was_refused_after_it_was_taken_is_taken(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        device = process.controller.backend.device
        monkeypatch.setattr(device, "copy", after_itself(device.copy, Refused("failure: no, after all")))
        snapshot = await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        assert (await snapshot_record(process, snapshot.snapshot_id)).state == "ready"
        assert await process.journal.open_operations() == []


async def test_undoing_a_snapshot_that_has_no_record_any_more_closes_it(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process, process.journal.operation("create-snapshot", "rds/none", {}) as operation:
        error = NotFound("its volume is gone")
        assert await snapshot_creation.undo(process.controller.backend, operation, error) is None
        assert not operation.open


async def test_a_subvolume_that_is_shown_without_its_uuid_proves_nothing(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        volume, _ = await taken(process)
        device = process.controller.backend.device
        observe = device.observe_copy

        async def without_uuid(backing: Backing) -> Answer:
            answer = await observe(backing)
            return replace(answer, leaves=tuple(replace(leaf, uuid="") for leaf in answer.leaves))

        monkeypatch.setattr(device, "observe_copy", without_uuid)
        with pytest.raises(UnexpectedAnswer, match="without its uuid"):
            await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))


async def test_a_snapshot_that_is_there_after_its_removal_is_not_gone(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        _, snapshot = await taken(process)
        device = process.controller.backend.device

        async def idle(backing: Backing, **_tags: str) -> Answer:
            return await device.observe_copy(backing)

        with monkeypatch.context() as patch:
            patch.setattr(device, "remove", idle)
            with pytest.raises(NotFinal, match="still there after its removal"):
                await process.controller.delete_snapshot(snapshot.snapshot_id)
        assert (await snapshot_record(process, snapshot.snapshot_id)).state == "deleting"
        await process.wait_settled()
        assert await process.journal.snapshot(snapshot.snapshot_id) is None


async def test_a_file_without_an_item_whose_create_told_no_claim_is_erased_without_a_question(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    await orphaned(asking, wish("pvc-1"))
    async with asking.process() as process:
        asking.machine.remove_by_hand(world_volume_id(process).partition("/")[2])
        await patience(asking)
        assert (await the_create(process.journal)).state == "refused"
        assert cluster.asked == []
        assert SHORT.abandon_after == 60.0
