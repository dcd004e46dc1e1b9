"""Several appliances: which one a call goes to, what one of them being away means for the others, lists over all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.controller.fleet import Fleet
from rdscsi.errors import InvalidRequest, InvalidToken, NotFinal, NotFound, NotReachable, SettingsInvalid
from rdscsi.model import ContentSource, Snapshot, SnapshotQuery, SnapshotRequest, Volume
from rdscsi.testing.invariants import holdings
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.world import OPTIONS, SETTINGS, Process, World, open_world

FAST, SLOW = "fast", "slow"


@dataclass
class Two:
    """Two appliances, a process for each, and the fleet before them; `fast` is the default."""

    fleet: Fleet
    worlds: dict[str, World]
    processes: dict[str, Process]

    async def made(self, name: str, backend: str = FAST) -> Volume:
        request = replace(wish(name), parameters={"backend": backend})
        return await settle(lambda: self.fleet.create_volume(request))

    async def taken(self, name: str, volume: Volume) -> Snapshot:
        return await settle(lambda: self.fleet.create_snapshot(SnapshotRequest(name, volume.volume_id)))


@asynccontextmanager
async def two(directory: Path, *, ready: bool = True) -> AsyncIterator[Two]:
    worlds: dict[str, World] = {}
    async with trio.open_nursery() as nursery:
        for name in (FAST, SLOW):
            (directory / name).mkdir()
            worlds[name] = await nursery.start(_world, directory / name, name)
        async with worlds[FAST].process(ready=ready) as fast, worlds[SLOW].process(ready=ready) as slow:
            yield Two(Fleet([fast.controller, slow.controller]), worlds, {FAST: fast, SLOW: slow})
        nursery.cancel_scope.cancel()


async def _world(directory: Path, name: str, *, task_status: "trio.TaskStatus[World]") -> None:
    options, settings = replace(OPTIONS, backend=name), replace(SETTINGS, backend=name)
    async with open_world(directory, options=options, settings=settings, seed=len(name)) as made:
        task_status.started(made)
        await trio.sleep_forever()


async def test_the_class_says_where_a_volume_is_made_and_the_id_where_it_is(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with two(tmp_path) as both:
        fleet = both.fleet
        here = await settle(lambda: fleet.create_volume(wish("pvc-1")))
        there = await settle(lambda: fleet.create_volume(replace(wish("pvc-2"), parameters={"backend": SLOW})))
        assert [here.volume_id.split("/")[0], there.volume_id.split("/")[0]] == [FAST, SLOW]
        context = await settle(lambda: fleet.publish_volume(attach(there.volume_id, NODE_A)))
        assert context
        assert (await fleet.get_volume(there.volume_id)).published_node_ids == (NODE_A,)
        await settle(lambda: fleet.unpublish_volume(there.volume_id, NODE_A))
        before = holdings(both.worlds[FAST].machine)
        await settle(lambda: fleet.delete_volume(there.volume_id))
        assert holdings(both.worlds[FAST].machine) == before
        with pytest.raises(NotFound):
            await fleet.get_volume(there.volume_id)
        assert (await fleet.get_volume(here.volume_id)).capacity_bytes == here.capacity_bytes


@pytest.mark.parametrize("volume_id", ["gone/vaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaa"])
async def test_a_backend_that_is_not_served_is_refused_and_never_taken_for_an_absence(
    volume_id: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with two(tmp_path) as both:
        for call in (
            lambda: both.fleet.delete_volume(volume_id),
            lambda: both.fleet.unpublish_volume(volume_id, NODE_A),
            lambda: both.fleet.get_volume(volume_id),
            lambda: both.fleet.list_snapshots(SnapshotQuery(source_volume_id=volume_id)),
            lambda: both.fleet.create_volume(replace(wish("pvc-1"), parameters={"backend": "gone"})),
        ):
            with pytest.raises(InvalidRequest, match="fast, slow"):
                await call()
        await both.fleet.delete_volume("no id of ours")


async def test_a_copy_is_made_where_its_source_is(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with two(tmp_path) as both:
        fleet = both.fleet
        source = await settle(lambda: fleet.create_volume(replace(wish("pvc-1"), parameters={"backend": SLOW})))
        snapshot = await settle(lambda: fleet.create_snapshot(SnapshotRequest("snap-1", source.volume_id)))
        assert snapshot.snapshot_id.startswith(f"{SLOW}/")
        copy = replace(wish("pvc-2"), source=ContentSource(snapshot_id=snapshot.snapshot_id))
        made = await settle(lambda: fleet.create_volume(copy))
        assert made.volume_id.startswith(f"{SLOW}/")
        with pytest.raises(InvalidRequest, match=r"parameters\[backend\]='fast': 'slow', where slow/"):
            await fleet.create_volume(replace(copy, name="pvc-3", parameters={"backend": FAST}))
        with pytest.raises(InvalidRequest, match="fast, slow"):
            gone = ContentSource(snapshot_id=snapshot.snapshot_id.replace(SLOW, "gone"))
            await fleet.create_volume(replace(copy, name="pvc-4", source=gone))


async def test_a_list_goes_over_all_backends_page_by_page(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with two(tmp_path) as both:
        fleet, made = both.fleet, set()
        for number in range(7):
            volume = await both.made(f"pvc-{number}", SLOW if number % 2 else FAST)
            await both.taken(f"s-{number}", volume)
            made.add(volume.volume_id)
        for size in range(1, 9):
            found, token = [], ""
            while True:
                page = await fleet.list_volumes(size, token)
                assert len(page.volumes) <= size
                found += [one.volume_id for one in page.volumes]
                token = page.next_token
                if not token:
                    break
            assert found == sorted(made)
            sources, token = [], ""
            while True:
                some = await fleet.list_snapshots(SnapshotQuery(max_entries=size, starting_token=token))
                sources += [one.source_volume_id for one in some.snapshots]
                token = some.next_token
                if not token:
                    break
            assert sorted(sources) == sorted(made)
        with pytest.raises(InvalidToken):
            await fleet.list_volumes(0, "gone/vaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaa")
        one = sorted(made)[0]
        (only,) = (await fleet.list_snapshots(SnapshotQuery(source_volume_id=one))).snapshots
        assert only.source_volume_id == one


async def test_health_is_told_by_the_backend_of_a_volume_and_listed_over_all(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with two(tmp_path) as both:
        fleet, made = both.fleet, []
        for number in range(4):
            made.append((await both.made(f"pvc-{number}", SLOW if number % 2 else FAST)).volume_id)
        assert (await fleet.list_volume_health(0, "")).entries == ()
        for world in both.worlds.values():
            world.appliance.change_pool(state="clean, degraded")
        assert [one.reason for one in (await fleet.get_volume_health(made[1])).problems] == ["PoolDegraded"]
        await trio.sleep(2 * OPTIONS.refresh_every)
        for size in (1, 3, 4):
            found, token = [], ""
            while True:
                page = await fleet.list_volume_health(size, token)
                assert len(page.entries) <= size
                found += [one.volume_id for one in page.entries]
                if not (token := page.next_token):
                    break
            assert found == sorted(made)
        both.worlds[SLOW].faults.add("drop-before")
        await trio.sleep(2 * OPTIONS.refresh_every)
        assert (await fleet.get_volume_health(made[0])).problems
        with pytest.raises(NotFinal):
            await fleet.list_volume_health(0, "")


async def test_an_appliance_that_is_away_costs_its_own_volumes_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with two(tmp_path) as both:
        fleet = both.fleet
        there = await settle(lambda: fleet.create_volume(replace(wish("pvc-1"), parameters={"backend": SLOW})))
        both.processes[SLOW].link.dead = True
        with pytest.raises(NotFinal):
            await fleet.publish_volume(attach(there.volume_id, NODE_A))
        here = await fleet.create_volume(wish("pvc-2"))
        await fleet.publish_volume(attach(here.volume_id, NODE_A))
        assert fleet.ready()


async def test_a_list_without_one_of_the_backends_is_no_list(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with two(tmp_path) as both:
        await both.fleet.create_volume(wish("pvc-1"))
        both.processes[SLOW].controller.backend.unlearn("it is away")
        with pytest.raises(NotFinal):
            await both.fleet.list_volumes(0, "")
        with pytest.raises(NotFinal):
            await both.fleet.list_snapshots(SnapshotQuery())


async def test_settings_that_turn_out_wrong_for_one_leave_the_others(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(tmp_path) as both, trio.open_nursery() as nursery:
        fast, slow = (both.processes[name].controller for name in (FAST, SLOW))

        async def wrong() -> None:
            raise SettingsInvalid(["pool-slot: 'pool1' holds another filesystem"])

        monkeypatch.setattr(slow, "keep", wrong)
        monkeypatch.setattr(fast, "keep", trio.sleep_forever)  # its process keeps it already
        nursery.start_soon(both.fleet.keep)
        await trio.sleep(1)
        with pytest.raises(NotFinal, match="holds another filesystem"):
            await both.fleet.create_volume(replace(wish("pvc-1"), parameters={"backend": SLOW}))
        await both.fleet.create_volume(wish("pvc-2"))
        with pytest.RaisesGroup(SettingsInvalid):
            await Fleet([slow]).keep()
        nursery.cancel_scope.cancel()


async def test_nodes_that_do_not_reach_the_backend_get_no_volume_and_see_no_room(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with two(tmp_path) as both:
        fleet = both.fleet
        with pytest.raises(NotReachable, match="'fast' of this StorageClass; those that they reach are slow"):
            await fleet.create_volume(replace(wish("pvc-1"), reachable=frozenset({SLOW})))
        assert not await both.processes[FAST].journal.volumes()
        await fleet.create_volume(replace(wish("pvc-1"), reachable=frozenset({SLOW, FAST})))
        room = await fleet.get_capacity({}, (), frozenset({FAST}))
        none = await fleet.get_capacity({}, (), frozenset({SLOW}))
        assert room.available_bytes > 0 == none.available_bytes == none.maximum_volume_bytes
        assert await fleet.get_capacity({"backend": SLOW}, ()) == await fleet.get_capacity({"backend": SLOW}, (), None)


async def test_what_was_begun_is_not_refused_for_other_nodes(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The scheduler may choose other nodes for the retry; a final answer would make it forget what is half made."""
    async with two(tmp_path) as both:
        both.processes[FAST].link.dead = True
        with pytest.raises(NotFinal):
            await both.fleet.create_volume(wish("pvc-1"))
        again = replace(wish("pvc-1"), reachable=frozenset({SLOW}))
        with pytest.raises(NotFinal):
            await both.fleet.create_volume(again)
        both.processes[FAST].link.dead = False
        made = await settle(lambda: both.fleet.create_volume(again))
        assert names.parse_volume_id(made.volume_id)
        assert (await both.fleet.create_volume(again)).volume_id == made.volume_id
