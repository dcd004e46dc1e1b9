"""What a person asks for is carried out by the controller that runs, once, and stays in the journal's history."""

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import Busy, NotFinal, NotFound
from rdscsi.journal import Json, OperationRecord, asking
from rdscsi.model import SnapshotRequest, Volume
from rdscsi.simulator.faults import Fault
from rdscsi.simulator.storage.disks import Disk
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, wish
from rdscsi.testing.world import Process, World


def _slot(volume_id: str) -> str:
    return volume_id.partition("/")[2]


def _nobody() -> str:
    return names.slot("v", "11111111-2222-3333-4444-555555555555", "nobody")


def _disk(world: World, volume_id: str) -> Disk | None:
    return next((one for one in world.appliance.storage.disks if one.slot == _slot(volume_id)), None)


async def _asked(
    world: World, process: Process, kind: str, volume_id: str, request: dict[str, Json]
) -> OperationRecord:
    """Ask as the command line does, from outside, and wait for the end; at most two rounds."""
    asked = asking.ask(world.journal_path, kind, volume_id, request, now=0.0)
    deadline = trio.current_time() + 2.5 * world.options.refresh_every
    while True:
        found = await process.journal.operation_record(asked)
        assert found is not None
        if found.state != "open" or trio.current_time() > deadline:
            return found
        await trio.sleep(1)


async def _half_made(world: World, process: Process, name: str = "pvc-1") -> str:
    """Let a create lose its answer, and its caller go away; return the volume id."""
    world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)  # before it is tagged ready
    with pytest.raises(NotFinal):
        await process.controller.create_volume(wish(name))
    return process.controller.backend.volume_id(process.controller.backend.slot(name))


async def _quarantined(world: World, process: Process, *, old: str, new: str) -> tuple[Volume, str]:
    """Make a volume and edit its tag by hand; return it with the edited tag."""
    volume = await process.controller.create_volume(wish("pvc-1"))
    disk = _disk(world, volume.volume_id)
    assert disk is not None
    edited = str(disk.setting("comment", "")).replace(old, new)
    world.appliance.run(f'/disk/set [find where slot={_slot(volume.volume_id)}] comment="{edited}"')
    await trio.sleep(2 * world.options.refresh_every)
    record = await process.journal.volume(volume.volume_id)
    assert record is not None
    assert record.quarantine
    return volume, edited


class TestRevoke:
    async def test_every_node_is_cut_off_and_the_next_publish_begins_a_new_epoch(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            before = await process.controller.publish_volume(attach(volume))
            done = await _asked(world, process, asking.REVOKE, volume.volume_id, {"node": ""})
            assert (done.state, done.kind) == ("done", "revoke")
            assert "every node is cut off" in done.outcome
            disk = _disk(world, volume.volume_id)
            assert disk is not None
            assert not disk.exported
            after = await process.controller.publish_volume(attach(volume, NODE_B))
            assert after["subnqn"] != before["subnqn"]

    async def test_it_waits_while_the_appliance_is_away_and_is_done_then(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            await process.controller.publish_volume(attach(volume))
            world.faults.add("drop-before")
            waiting = await _asked(world, process, asking.REVOKE, volume.volume_id, {"node": NODE_A})
            assert waiting.state == "open"
            assert "the connection was lost" in (await process.journal.get_meta("controller.waits") or "")
            world.faults.clear()
            await trio.sleep(3 * world.options.refresh_every)
            done = await process.journal.operation_record(waiting.id)
            assert done is not None
            assert done.state == "done"
            assert await process.journal.get_meta("controller.waits") == ""

    async def test_it_is_carried_out_by_the_next_life_when_this_one_dies(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            await process.controller.publish_volume(attach(volume))
            asked = asking.ask(world.journal_path, asking.REVOKE, volume.volume_id, {"node": ""}, now=0.0)
            await process.journal.commit()
            world.crash()
        async with world.process() as process:
            await trio.sleep(2 * world.options.refresh_every)
            done = await process.journal.operation_record(asked)
            assert done is not None
            assert (done.state, done.incarnation) == ("done", process.journal.incarnation)
            disk = _disk(world, volume.volume_id)
            assert disk is not None
            assert not disk.exported

    async def test_a_second_wish_about_a_volume_waits_for_the_first(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process():
            about = names.volume_id("rds", _nobody())
            asking.ask(world.journal_path, asking.REVOKE, about, {"node": ""}, now=0.0)
            with pytest.raises(Busy, match="was asked for before"):
                asking.ask(world.journal_path, asking.RETRY, about, {}, now=0.0)


class TestRetryAndAbandon:
    async def test_a_create_is_finished_without_its_caller(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume_id = await _half_made(world, process)
            done = await _asked(world, process, asking.RETRY, volume_id, {})
            assert done.state == "done"
            assert "is done: 67108864 bytes" in done.outcome
            record = await process.journal.volume(volume_id)
            assert record is not None
            assert record.state == "ready"

    async def test_a_retry_that_fails_again_tells_why(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            world.faults.add("drop-before", contains="/disk/remove")
            with pytest.raises(NotFinal):
                await process.controller.delete_volume(volume.volume_id)
            done = await _asked(world, process, asking.RETRY, volume.volume_id, {})
            assert done.state == "done"
            assert "is still open: " in done.outcome
            assert "different request" not in done.outcome, "it joins the round that tries the same"
            assert [one.kind for one in await process.journal.open_operations()] == ["delete"]

    async def test_what_a_create_has_made_is_erased_at_once(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume_id = await _half_made(world, process)
            done = await _asked(world, process, asking.ABANDON, volume_id, {})
            assert done.state == "done"
            open_now = await process.journal.open_operations()
            assert open_now == []

    async def test_a_snapshot_that_was_not_made_is_given_up(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            world.faults.add("drop-before", contains="read-only=yes", times=1)
            with pytest.raises(NotFinal):
                await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
            (record,) = await process.journal.snapshots()
            done = await _asked(world, process, asking.ABANDON, record.snapshot_id, {})
            assert (done.state, "a person gave it up" in done.outcome) == ("done", True)
            assert await process.journal.snapshots() == []

    async def test_only_a_create_is_given_up(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            world.faults.add("drop-before", contains="/disk/remove")
            with pytest.raises(NotFinal):
                await process.controller.delete_volume(volume.volume_id)
            ended = await _asked(world, process, asking.ABANDON, volume.volume_id, {})
            assert (ended.state, "never given up halfway" in ended.error) == ("refused", True)

    async def test_without_anything_open_there_is_nothing_to_do(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            fresh = await process.controller.create_volume(wish("pvc-1"))
            in_use = await process.controller.create_volume(wish("pvc-2"))
            await process.controller.publish_volume(attach(in_use))
            for kind in (asking.RETRY, asking.ABANDON):
                for about in (fresh.volume_id, in_use.volume_id, "rds/" + _nobody()):
                    done = await _asked(world, process, kind, about, {})
                    assert (done.state, "nothing is open" in done.outcome) == ("done", True)
            assert len(await process.journal.volumes()) == 2


class TestResolve:
    @pytest.mark.parametrize("how", ["accept", "restore"])
    async def test_a_tag_edited_by_hand_is_believed_or_put_back(
        self, how: str, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume, edited = await _quarantined(world, process, old="use=blank", new="use=used")
            done = await _asked(world, process, asking.RESOLVE, volume.volume_id, {"how": how})
            assert done.state == "done", done.error
            record = await process.journal.volume(volume.volume_id)
            disk = _disk(world, volume.volume_id)
            assert record is not None
            assert disk is not None
            assert record.quarantine == ""
            assert (record.tag == edited) == (how == "accept")
            assert disk.setting("comment", "") == record.tag
            await trio.sleep(2 * world.options.refresh_every)
            assert await process.controller.publish_volume(attach(volume))

    async def test_another_volumes_item_is_neither_believed_nor_changed(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume, edited = await _quarantined(world, process, old="rdscsi1", new="mine")
            for how in ("accept", "restore"):
                ended = await _asked(world, process, asking.RESOLVE, volume.volume_id, {"how": how})
                assert (ended.state, "does not hold this volume's item" in ended.error) == ("refused", True)
            disk = _disk(world, volume.volume_id)
            assert disk is not None
            assert disk.setting("comment", "") == edited

    async def test_a_lost_volume_is_forgotten_only_when_nothing_of_it_is_left(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume, _ = await _quarantined(world, process, old="use=blank", new="use=used")
            ended = await _asked(world, process, asking.RESOLVE, volume.volume_id, {"how": "forget"})
            assert (ended.state, "is still there" in ended.error) == ("refused", True)
            slot = _slot(volume.volume_id)
            world.appliance.run(f"/disk/remove [find where slot={slot}]")
            [item] = [one for one in world.appliance.storage.subvolumes if one.name.startswith(slot)]
            world.appliance.run(f"/disk/btrfs/subvolume/remove [find where name={item.name}]")
            done = await _asked(world, process, asking.RESOLVE, volume.volume_id, {"how": "forget"})
            assert done.state == "done", done.error
            with pytest.raises(NotFound):
                await process.controller.get_volume(volume.volume_id)

    async def test_a_volume_that_is_as_it_should_be_has_nothing_to_resolve(
        self, world: World, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            done = await _asked(world, process, asking.RESOLVE, volume.volume_id, {"how": "accept"})
            assert done.outcome == "it is not quarantined any more; nothing was done"
            unknown = await _asked(world, process, asking.RESOLVE, "rds/" + _nobody(), {"how": "accept"})
            assert (unknown.state, unknown.error) == (
                "refused",
                "NotFound: the journal has no record of this volume or snapshot",
            )
