"""Who may act: first starts, restarts, take-overs, and everything that must stop a controller instead."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import Fenced, InventoryIncomplete, NotFinal, SettingsInvalid
from rdscsi.model import GIB, MIB, SnapshotRequest
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.tags import Marker, parse_marker
from rdscsi.testing.invariants import holdings
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.world import BACKEND, CLUSTER, World, open_world

MARKER = names.marker_slot(CLUSTER, BACKEND)


async def test_a_first_start_makes_the_marker_and_nothing_else(world: World, autojump_clock: MockClock) -> None:
    before = holdings(world.machine)
    async with world.process() as process:
        marker = _marker(world)
        assert (marker.cluster_id, marker.base_path) == (CLUSTER, "pool1/rdscsi")
        assert marker.journal_id == process.journal.id
        assert marker.token_counter == 1
    after = holdings(world.machine)
    assert after.items == before.items
    assert after.leaves - before.leaves == {"pool1/rdscsi"}


async def test_a_first_volume_does_not_wait_for_lines_that_cannot_exist(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        began = trio.current_time()
        await process.controller.create_volume(wish("pvc-1"))
        assert trio.current_time() - began < 1.0


async def test_each_start_moves_the_token_so_that_older_lines_fail(world: World, autojump_clock: MockClock) -> None:
    tokens = []
    for _ in range(3):
        async with world.process() as process:
            await process.controller.create_volume(wish("pvc-1"))
            marker = _marker(world)
            tokens.append((marker.token_counter, marker.token_random))
            world.crash()
    assert [counter for counter, _ in tokens] == [1, 2, 3]
    assert len({random for _, random in tokens}) == 3


async def test_a_restart_waits_until_statements_of_the_last_life_have_ended(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
        world.crash()
    async with world.process() as process:
        began = trio.current_time()
        await process.controller.create_volume(wish("pvc-2"))
        assert trio.current_time() - began >= world.settings.longest_statement


async def test_a_lost_journal_is_rebuilt_from_tags_and_publications_go_on(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as process:
        kept = await process.controller.create_volume(wish("pvc-1", 3 * MIB))
        context = await process.controller.publish_volume(attach(kept))
        before = holdings(world.machine)
    async with world.process(tmp_path / "another.db") as process:
        controller = process.controller
        listed = await controller.list_volumes(0, "")
        [found] = listed.volumes
        assert (found.volume_id, found.capacity_bytes) == (kept.volume_id, 3 * MIB)
        assert found.published_node_ids == (NODE_A,)
        assert holdings(world.machine) == before
        assert await controller.publish_volume(attach(kept)) == context
        assert await controller.create_volume(wish("pvc-1", 3 * MIB)) == kept
        await controller.unpublish_volume(kept.volume_id, NODE_A)
        await controller.delete_volume(kept.volume_id)


async def test_after_a_lost_journal_nothing_changes_before_a_late_line_would_have_run(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
    async with world.process(tmp_path / "another.db") as process:
        began = trio.current_time()
        await process.controller.create_volume(wish("pvc-2"))
        assert trio.current_time() - began >= world.settings.line_ttl


async def test_a_half_made_volume_of_a_lost_journal_is_finished_by_the_same_request_alone(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add type=file slot=$zs", times=1)
        world.appliance.before_mutation = _stop_before_ready
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        world.appliance.before_mutation = None
        world.crash()
    async with world.process(tmp_path / "another.db") as process:
        with pytest.raises(NotFinal, match="another request"):
            await process.controller.create_volume(wish("pvc-1", GIB))
        volume = await settle(lambda: process.controller.create_volume(wish("pvc-1")))
        assert volume.capacity_bytes == 64 * MIB
        assert len([one for one in world.appliance.storage.subvolumes if one.name.startswith("v")]) == 1


async def test_a_controller_whose_token_was_taken_stands_by_and_changes_nothing(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as first:
        volume = await first.controller.create_volume(wish("pvc-1"))
        async with world.process(tmp_path / "second.db") as second:
            await second.controller.create_volume(wish("pvc-2"))
            before = holdings(world.machine)
            for call in (
                lambda: first.controller.create_volume(wish("pvc-3")),
                lambda: first.controller.publish_volume(attach(volume)),
                lambda: first.controller.delete_volume(volume.volume_id),
                lambda: first.controller.list_volumes(0, ""),
            ):
                with pytest.raises((Fenced, NotFinal)):
                    await call()
            assert holdings(world.machine) == before
            assert not first.controller.ready()
            assert second.controller.ready()


async def test_two_live_controllers_take_the_token_from_each_other_at_most_once(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as first:
        await first.controller.create_volume(wish("pvc-1"))
        async with world.process(tmp_path / "second.db"):
            taken = _marker(world).token_counter
            await trio.sleep(600)
            assert _marker(world).token_counter == taken == 2
    async with world.process(ready=False) as again:
        await trio.sleep(60)
        assert _marker(world).token_counter == taken
        with pytest.raises(Fenced):
            await again.controller.list_volumes(0, "")


async def test_volumes_without_their_marker_stop_a_controller_that_does_not_know_them(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
    world.appliance.run(f"/disk/remove [find where slot={MARKER}]")
    before = holdings(world.machine)
    async with world.process(tmp_path / "another.db", ready=False) as process:
        await trio.sleep(100)
        with pytest.raises(InventoryIncomplete, match="does not know all of them"):
            await process.controller.create_volume(wish("pvc-2"))
    assert holdings(world.machine) == before
    async with world.process() as process:
        assert _marker(world).token_counter > 1
        await process.controller.create_volume(wish("pvc-2"))


async def test_snapshots_without_their_marker_stop_it_too(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """They outlive their volumes: an appliance that holds nothing else of this cluster is not a fresh one."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        snapshot = await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
        await process.controller.delete_volume(volume.volume_id)
    world.appliance.run(f"/disk/remove [find where slot={MARKER}]")
    before = holdings(world.machine)
    async with world.process(tmp_path / "another.db", ready=False) as process:
        await trio.sleep(100)
        with pytest.raises(InventoryIncomplete, match="does not know all of them"):
            await process.controller.create_volume(wish("pvc-2"))
    assert holdings(world.machine) == before
    async with world.process() as process:
        assert _marker(world).token_counter > 1
        assert (await process.controller.get_snapshot(snapshot.snapshot_id)).ready


async def test_a_journal_with_volumes_does_not_start_on_an_empty_appliance(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
    (tmp_path / "new").mkdir()
    async with open_world(tmp_path / "new") as other:
        before = holdings(other.machine)
        async with other.process(world.journal_path, ready=False) as process:
            await trio.sleep(100)
            with pytest.raises(InventoryIncomplete, match="right appliance"):
                await process.controller.create_volume(wish("pvc-2"))
        assert holdings(other.machine) == before


async def test_a_power_loss_that_takes_marker_and_volumes_back_is_recovered_from(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    behaviour = Behaviour(config_flush_delay=30.0, pool_flush_delay=30.0)
    forgetful = ApplianceOptions(pool=PoolOptions(size=1024 * GIB), initial_uptime=3600.0, behaviour=behaviour)
    async with open_world(tmp_path, appliance=forgetful) as world, world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.appliance.reboot()
        assert world.appliance.storage.disks.by_slot(MARKER) is None
        await trio.sleep(2 * world.options.refresh_every)
        assert _marker(world).token_counter > 1
        assert await settle(lambda: process.controller.create_volume(wish("pvc-1"))) == volume


async def test_a_marker_that_was_edited_by_hand_stops_everything(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
        world.appliance.run(f'/disk/set [find where slot={MARKER}] comment="rdscsi1 m hello"')
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-2"))
        await trio.sleep(100)
        with pytest.raises(NotFinal, match=r"not readable|stands by|token"):
            await process.controller.create_volume(wish("pvc-2"))


@pytest.mark.parametrize("wrong", ["cluster", "base path", "pool"])
async def test_settings_that_the_marker_contradicts_end_the_process(
    wrong: str, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
    if wrong == "base path":
        world.settings = replace(world.settings, base_path="pool1/elsewhere")
    elif wrong == "pool":
        world.appliance.storage.pool.change(fs_uuid="00000000-0000-0000-0000-000000000000")
    else:
        comment = world.appliance.storage.disks.by_slot(MARKER)
        assert comment is not None
        text = str(comment.setting("comment", "")).replace(CLUSTER, "another-cluster")
        world.appliance.run(f'/disk/set [find where slot={MARKER}] comment="{text}"')
    with pytest.RaisesGroup(SettingsInvalid, flatten_subgroups=True):
        async with world.process(ready=False):
            await trio.sleep(100)


@pytest.mark.parametrize(
    ("version", "missing"), [("7.16.2", "type=file"), ("7.20.8", "nvme-tcp-server-nqn"), ("7.18.1", "server-nqn")]
)
async def test_an_appliance_that_is_too_old_is_told_what_it_lacks(
    version: str, missing: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    old = ApplianceOptions(version=version, pool=PoolOptions(size=1024 * GIB), initial_uptime=3600.0)
    with pytest.RaisesGroup(pytest.RaisesExc(SettingsInvalid, match=missing), flatten_subgroups=True):
        async with open_world(tmp_path, appliance=old) as world, world.process(ready=False):
            await trio.sleep(100)


@pytest.mark.parametrize("trouble", ["unmounted", "away", "other pool slot"])
async def test_trouble_that_may_pass_is_waited_out(trouble: str, world: World, autojump_clock: MockClock) -> None:
    if trouble == "unmounted":
        world.appliance.storage.pool.change(mounted=False)
    elif trouble == "other pool slot":
        world.settings = replace(world.settings, pool_slot="pool2")
    async with world.process(ready=False) as process:
        world.link.up = trouble != "away"
        await trio.sleep(100)
        with pytest.raises(InventoryIncomplete):
            await process.controller.list_volumes(0, "")
        assert process.controller.ready()
        if trouble == "other pool slot":
            return
        world.link.up = True
        world.appliance.storage.pool.change(mounted=True)
        assert (await settle(lambda: process.controller.create_volume(wish("pvc-1")))).capacity_bytes == 64 * MIB


def _marker(world: World) -> Marker:
    disk = world.appliance.storage.disks.by_slot(MARKER)
    assert disk is not None
    marker = parse_marker(str(disk.setting("comment", "")))
    assert marker is not None
    return marker


def _stop_before_ready(path: str, arguments: object) -> None:
    from rdscsi.simulator import LineCut

    if path == "/disk/set" and "v ready" in str(arguments):
        raise LineCut
