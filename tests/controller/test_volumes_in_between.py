"""What changes between two looks at a volume, or between a look and the line: each ends as its law says."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from claims_rig import WISH, orphaned, retag, the_create, world_volume_id
from trio.testing import MockClock

from rdscsi.controller import creation, publications
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.publications import PUBLISH, UNPUBLISH
from rdscsi.errors import (
    Abandoned,
    NotFound,
    NotPermittedNow,
    OperationPending,
    Quarantined,
    Refused,
    UnexpectedAnswer,
)
from rdscsi.journal import VolumeRecord, changes
from rdscsi.model import MIB, CapacityRange, Volume
from rdscsi.routeros.answers import Answer
from rdscsi.tags import parse_tag
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, settle, wish
from rdscsi.testing.world import Process, World


def slot(volume: Volume) -> str:
    return volume.volume_id.partition("/")[2]


async def record_of(process: Process, volume: Volume) -> VolumeRecord:
    record = await process.journal.volume(volume.volume_id)
    assert record is not None
    return record


def refused_after(line: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """The line does its work, and says no all the same."""

    async def refused(*arguments: object) -> Answer:
        await line(*arguments)
        raise Refused("failure: no, after all")

    return refused


async def test_a_volume_that_is_not_ready_any_more_is_not_handed_out_again(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
        retag(world, " ready ", " creating ")
        with pytest.raises(OperationPending, match="is creating"):
            await process.controller.create_volume(wish("pvc-1"))


async def test_a_create_that_was_refused_after_it_was_done_is_done(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        device = process.controller.backend.device
        monkeypatch.setattr(device, "create", refused_after(device.create))
        volume = await process.controller.create_volume(wish("pvc-1"))
        assert volume.capacity_bytes == world.machine.items()[slot(volume)].size
        assert await process.journal.open_operations() == []


async def test_an_export_that_a_person_switched_on_before_anybody_was_told_is_switched_off(
    world: World, autojump_clock: MockClock
) -> None:
    await orphaned(world)
    async with world.process() as process:
        world.machine.set_by_hand(world_volume_id(process).partition("/")[2], export=True)
        volume = await process.controller.create_volume(WISH)
        assert not world.machine.items()[slot(volume)].export


async def test_what_was_given_up_and_is_kept_after_all_is_not_handed_out_by_the_same_call(
    world: World, autojump_clock: MockClock
) -> None:
    await orphaned(world)
    async with world.process() as process:
        record = await process.journal.volume(world_volume_id(process))
        assert record is not None
        await process.journal.commit(changes.put_volume(replace(record, state="deleting")))
        retag(world, "gen=2", "gen=3", "use=blank", "use=used")
        found = await the_create(process.journal)
        with pytest.raises(OperationPending, match="kept after all"):
            async with process.journal.adoption(found) as operation:
                await creation.carry_out(process.controller.backend, operation)
        assert (await the_create(process.journal)).state == "done"


async def test_undoing_what_has_no_record_any_more_closes_it(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process, process.journal.operation("create", "rds/none", {}) as operation:
        assert await creation.undo(process.controller.backend, operation, Abandoned("nobody wants it")) is None
        assert not operation.open


async def test_nothing_grows_and_no_node_is_let_in_while_it_is_not_ready(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        retag(world, " ready ", " creating ")
        backend = process.controller.backend
        backend.catalogue.doubt(slot(volume))
        with pytest.raises(OperationPending, match="is creating"):
            await process.controller.expand_volume(volume.volume_id, CapacityRange(128 * MIB), None)
        backend.catalogue.doubt(slot(volume))
        with pytest.raises(OperationPending, match="is creating"):
            await publications.Publications(backend).publish(attach(volume))


async def test_an_intent_for_a_node_that_another_one_kept_out_meanwhile_is_closed(
    world: World, autojump_clock: MockClock
) -> None:
    """The refusal is told from a fresh look, and nothing of the second node's was ever there."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        publishing = publications.Publications(process.controller.backend)
        wanted = publications._intent(attach(volume, NODE_B))
        with pytest.raises(NotPermittedNow):
            async with process.journal.operation(PUBLISH, volume.volume_id, wanted) as operation:
                await publishing.carry_out_publish(operation)
        assert await process.journal.open_operations() == []
        tag = parse_tag(world.machine.items()[slot(volume)].comment)
        assert tag is not None
        assert len(tag.active_nodes) == 1


async def test_that_a_node_is_out_is_told_from_a_tag_that_stays(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        retag(world, "gen=3", "gen=4")
        await process.controller.unpublish_volume(volume.volume_id, NODE_B)
        backend, generations = process.controller.backend, iter(range(5, 100))
        look_at = backend.look_at

        async def changing(at: str, operation: str = "") -> Entry:
            number = next(generations)
            retag(world, f"gen={number - 1}", f"gen={number}")
            return await look_at(at, operation)

        monkeypatch.setattr(backend, "look_at", changing)
        with pytest.raises(OperationPending, match="changes under the line"):
            await process.controller.unpublish_volume(volume.volume_id, NODE_B)
        monkeypatch.undo()
        await settle(lambda: process.controller.unpublish_volume(volume.volume_id, NODE_A))


async def test_a_tag_that_changes_directly_before_the_line_that_cuts_is_looked_at_again(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        device, changed = process.controller.backend.device, list[str]()
        unpublish = device.unpublish

        async def meddled(at: str, *, old_tag: str, new_tag: str) -> Answer:
            if not changed:
                changed.append(at)
                retag(world, "gen=3", "gen=4")
            return await unpublish(at, old_tag=old_tag, new_tag=new_tag)

        monkeypatch.setattr(device, "unpublish", meddled)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert changed == [slot(volume)]
        assert not world.machine.items()[slot(volume)].export


@pytest.mark.parametrize("kind", [PUBLISH, UNPUBLISH])
async def test_an_intent_about_a_volume_that_has_no_record_any_more_is_closed(
    kind: str, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        publishing = publications.Publications(process.controller.backend)
        carry = publishing.carry_out_publish if kind == PUBLISH else publishing.carry_out_unpublish
        with pytest.raises(NotFound):
            async with process.journal.operation(kind, "rds/none", publications._intent(attach("rds/none"))) as one:
                await carry(one)
        assert await process.journal.open_operations() == []


async def test_a_file_that_no_record_knows_is_for_the_next_inventory(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.journal.commit(changes.drop_volume(volume.volume_id, None))
        world.machine.remove_by_hand(slot(volume))
        with pytest.raises(Quarantined, match="holds a file of that name"):
            await process.controller.publish_volume(attach(volume))


async def test_an_item_that_no_record_knows_is_for_the_next_inventory(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.journal.commit(changes.drop_volume(volume.volume_id, None))
        with pytest.raises(Quarantined, match="taken by an item that no record knows"):
            await process.controller.publish_volume(attach(volume))


async def test_what_another_create_made_is_not_taken_for_the_volume(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        backing = (await record_of(process, volume)).backing
        retag(world, f"op={backing}", "op=aaaaaaaaaaaaa")
        process.controller.backend.catalogue.doubt(slot(volume))
        with pytest.raises(Quarantined, match="is not this volume's"):
            await process.controller.publish_volume(attach(volume))


async def test_a_line_that_did_not_do_what_it_said_is_no_success(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.process() as process:
        device = process.controller.backend.device

        async def idle(new: object) -> Answer:
            return await device.observe(process.controller.backend.slot("pvc-1"))

        monkeypatch.setattr(device, "create", idle)
        with pytest.raises(UnexpectedAnswer, match="a ready volume"):
            await creation.create(process.controller.backend, wish("pvc-1"))
        [left] = await process.journal.open_operations()
        assert left.kind == "create"
