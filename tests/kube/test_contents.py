"""Annotations of VolumeSnapshotContents: what is told, to whom, and how often it is tried."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from csi_logs import captured
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import ClusterUnavailable, InventoryIncomplete, JournalFailed
from rdscsi.kube.api import Conflict, Refused
from rdscsi.kube.contents import AFRESH_SECONDS, CONTENTS, CREATED, LOOK_SECONDS, SIZE, SOURCE, Contents, annotations
from rdscsi.kube.lease import Lease, open_lease
from rdscsi.kube.lists import PAGE
from rdscsi.model import Snapshot, SnapshotPage, SnapshotQuery, SnapshotRequest
from rdscsi.testing.leases import LeaseClient, LeaseServer
from rdscsi.testing.orchestrator import wish
from rdscsi.testing.world import Process, open_world

FIRST = Snapshot("rds/swrs4eg-aaaaaaaaaaaaaaaaaaaaaaaa", "rds/vwrs4eg-bbbbbbbbbbbbbbbbbbbbbbbb", 1 << 30, 1767225600.7)
SECOND = replace(FIRST, snapshot_id="rds/swrs4eg-cccccccccccccccccccccccc", created_at=1767225661.0)
TOLD = {SOURCE: FIRST.source_volume_id, SIZE: str(1 << 30), CREATED: "2026-01-01T00:00:00Z"}


class Cluster:
    """Contents as the API server holds them, and merge patches as it applies them.

    `error` is raised instead of any answer; patches of `denied` objects are refused, as an admission webhook does it.
    """

    def __init__(self, *contents: dict[str, Any]) -> None:
        self.contents = {one["metadata"]["name"]: one for one in contents}
        self.lists = 0
        self.patched: list[str] = []
        self.error: Exception | None = None
        self.denied: set[str] = set()
        self.installed = True

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
        assert path == CONTENTS
        assert query is not None
        self._fail()
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        self.lists += begin == 0
        if not self.installed:
            return None
        found = list(self.contents.values())
        rest = str(begin + limit) if begin + limit < len(found) else ""
        page = {"kind": "VolumeSnapshotContentList", "metadata": {"continue": rest}, "items": found[begin:][:limit]}
        copied: Mapping[str, object] = json.loads(json.dumps(page))
        return copied

    async def patch(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object] | None:
        assert path[:-1] == CONTENTS
        self._fail()
        content, (patch,) = self.contents.get(path[-1]), body.values()
        assert isinstance(patch, dict)
        if content is None:
            return None
        if patch["resourceVersion"] != content["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        if path[-1] in self.denied:
            raise Refused(f"{path[-1]}: status 403: denied")
        content["metadata"].setdefault("annotations", {}).update(patch["annotations"])
        content["metadata"]["resourceVersion"] += "0"
        self.patched.append(path[-1])
        return content

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def annotations(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.contents[name]["metadata"].get("annotations", {})
        return found


class Listed:
    """ListSnapshots of a controller, a snapshot a page."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.snapshots = list(snapshots)
        self.error: Exception | None = None

    async def __call__(self, query: SnapshotQuery) -> SnapshotPage:
        if self.error is not None:
            raise self.error
        at = int(query.starting_token or "0")
        return SnapshotPage(tuple(self.snapshots[at : at + 1]), str(at + 1) if at + 1 < len(self.snapshots) else "")


def content(name: str, handle: str = "", *, driver: str = names.DRIVER_NAME, **annotations: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"name": name, "resourceVersion": "7"},
        "spec": {"driver": driver, "source": {"volumeHandle": FIRST.source_volume_id}},
    }
    if annotations:
        made["metadata"]["annotations"] = annotations
    return made | ({"status": {"snapshotHandle": handle}} if handle else {})


async def looks(contents: Contents, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await contents.keep()


async def test_source_size_and_time_are_told_once(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id, kept="as it is"), content("b", SECOND.snapshot_id))
    listed = Listed(FIRST, SECOND)
    await looks(Contents(cluster, listed), AFRESH_SECONDS / 2)
    assert cluster.annotations("a") == TOLD | {"kept": "as it is"}
    assert cluster.annotations("b") == TOLD | {CREATED: "2026-01-01T00:01:01Z"}
    assert sorted(cluster.patched) == ["a", "b"]
    assert cluster.lists == 1


async def test_a_new_process_writes_nothing_that_stands_there(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    for _ in range(2):
        await looks(Contents(cluster, Listed(FIRST)), 60)
    assert (cluster.patched, cluster.lists) == (["a"], 2)


async def test_a_content_that_has_no_handle_yet_is_looked_for_again(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, Listed(FIRST)).keep)
        await trio.sleep(LOOK_SECONDS / 2)
        cluster.contents["a"]["status"] = {"snapshotHandle": FIRST.snapshot_id}
        await trio.sleep(3 * LOOK_SECONDS)
        assert cluster.annotations("a") == TOLD
        nursery.cancel_scope.cancel()


async def test_a_snapshot_without_an_object_costs_few_lists_and_holds_up_no_other(autojump_clock: MockClock) -> None:
    cluster, listed = Cluster(content("b", SECOND.snapshot_id)), Listed(FIRST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, listed).keep)
        await trio.sleep(3000)
        assert cluster.lists < 12
        listed.snapshots.append(SECOND)
        await trio.sleep(2 * LOOK_SECONDS)
        assert cluster.patched == ["b"]
        nursery.cancel_scope.cancel()


async def test_what_a_person_changed_or_made_anew_is_told_again_in_time(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, Listed(FIRST)).keep)
        await trio.sleep(60)
        again = content("again")
        again["spec"]["source"] = {"snapshotHandle": FIRST.snapshot_id}  # taken in by its handle; no status yet
        cluster.contents = {"again": again}
        await trio.sleep(AFRESH_SECONDS + LOOK_SECONDS)
        assert cluster.annotations("again") == TOLD
        nursery.cancel_scope.cancel()


async def test_others_are_left_alone(autojump_clock: MockClock) -> None:
    strangers = [content(f"s{number}", FIRST.snapshot_id, driver="other.example") for number in range(PAGE)]
    unknown = content("unknown", SECOND.snapshot_id)
    cluster = Cluster(*strangers, unknown, content("a", FIRST.snapshot_id))
    await looks(Contents(cluster, Listed(FIRST)), 60)
    assert cluster.patched == ["a"]


@pytest.mark.parametrize(
    "error", [ClusterUnavailable("the API server is away"), Conflict("status 409"), OSError("a bug")]
)
async def test_what_fails_is_tried_again_and_ends_nothing(error: Exception, autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    cluster.error = error
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, Listed(FIRST)).keep)
        await trio.sleep(100)
        cluster.error = None
        await trio.sleep(300)
        assert cluster.annotations("a") == TOLD
        nursery.cancel_scope.cancel()


async def test_where_the_objects_are_not_installed_they_are_looked_for_now_and_then(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    cluster.installed = False
    async with trio.open_nursery() as nursery:
        with captured("info") as logged:
            nursery.start_soon(Contents(cluster, Listed(FIRST)).keep)
            await trio.sleep(1800)
        assert [one["level"] for one in logged.records()] == ["warning"]
        assert "there is no such list" in logged.text
        assert cluster.lists < 10
        cluster.installed = True
        await trio.sleep(601)
        assert cluster.patched == ["a"]
        nursery.cancel_scope.cancel()


async def test_who_does_not_lead_or_does_not_know_yet_tells_nothing(autojump_clock: MockClock) -> None:
    cluster, listed = Cluster(content("a", FIRST.snapshot_id)), Listed(FIRST)
    listed.error = InventoryIncomplete("the appliance has not been looked through yet")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, listed).keep)
        await trio.sleep(60)
        assert (cluster.lists, cluster.patched) == (0, [])
        listed.error = None
        await trio.sleep(2 * LOOK_SECONDS)
        assert cluster.patched == ["a"]
        nursery.cancel_scope.cancel()


async def test_an_object_that_is_changed_before_the_patch_is_read_again(autojump_clock: MockClock) -> None:
    """It may be another one of that name by now; and one such object does not hold up the others."""
    cluster = Cluster(content("a", FIRST.snapshot_id), content("b", SECOND.snapshot_id))
    get = cluster.get

    async def replaced(*path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
        page = await get(*path, query=query)
        cluster.contents["a"]["metadata"]["resourceVersion"] = f"after {cluster.lists}"
        return page

    cluster.get = replaced  # type: ignore[method-assign]  # between the list and the patch
    contents = Contents(cluster, Listed(FIRST, SECOND))
    await contents.look()
    assert cluster.patched == ["b"]
    cluster.get = get  # type: ignore[method-assign]  # nothing comes between any more
    await looks(contents, 60)
    assert cluster.annotations("a") == TOLD


async def test_an_object_that_is_refused_holds_up_no_other(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id), content("b", SECOND.snapshot_id))
    cluster.denied = {"a"}
    async with trio.open_nursery() as nursery:
        with captured("info") as logged:
            nursery.start_soon(Contents(cluster, Listed(FIRST, SECOND)).keep)
            await trio.sleep(1800)
        assert cluster.patched == ["b"]
        assert cluster.lists < 10
        assert [one["level"] for one in logged.records()] == ["info", "warning"]
        cluster.denied = set()
        await trio.sleep(601)
        assert cluster.annotations("a") == TOLD
        nursery.cancel_scope.cancel()


async def test_of_two_objects_of_one_snapshot_the_one_that_is_refused_is_tried_again(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id), content("b", FIRST.snapshot_id))
    cluster.denied = {"a"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Contents(cluster, Listed(FIRST)).keep)
        await trio.sleep(15)
        cluster.denied = set()
        await trio.sleep(100)
        assert cluster.annotations("a") == cluster.annotations("b") == TOLD
        nursery.cancel_scope.cancel()


async def test_an_object_that_is_deleted_before_the_patch_is_let_go(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id), content("b", SECOND.snapshot_id))
    get = cluster.get

    async def deleting(*path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
        page = await get(*path, query=query)
        cluster.contents.pop("a", None)
        return page

    cluster.get = deleting  # type: ignore[method-assign]  # between the list and the patch
    with captured("info") as logged:
        await looks(Contents(cluster, Listed(FIRST, SECOND)), 600)
    assert cluster.patched == ["b"]
    assert [one["level"] for one in logged.records()] == ["info"]


async def test_a_snapshot_that_a_person_must_look_at_first_is_not_told_of(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    await looks(Contents(cluster, Listed(replace(FIRST, ready=False))), 60)
    assert cluster.patched == []


async def test_a_bug_is_not_met_again_and_again(autojump_clock: MockClock) -> None:
    cluster = Cluster(content("a", FIRST.snapshot_id))
    cluster.error = ZeroDivisionError("a bug")
    with captured("info") as logged:
        await looks(Contents(cluster, Listed(FIRST)), 1800)
    assert 1 <= len(logged.records()) < 10


async def test_a_journal_that_fails_ends_the_process(autojump_clock: MockClock) -> None:
    listed = Listed(FIRST)
    listed.error = JournalFailed("the disk is full")
    with pytest.raises(JournalFailed):
        await looks(Contents(Cluster(), listed), 60)


async def taken(process: Process) -> Snapshot:
    volume = await process.controller.create_volume(wish("pvc-1", 64 << 20))
    return await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))


async def test_a_crash_between_a_snapshot_and_its_annotations_loses_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    cluster = Cluster()
    async with open_world(tmp_path) as world:
        async with world.process() as process, trio.open_nursery() as nursery:
            nursery.start_soon(Contents(cluster, process.controller.list_snapshots).keep)
            snapshot = await taken(process)
            cluster.contents["a"] = content("a", snapshot.snapshot_id)
            world.crash()
            await trio.lowlevel.checkpoint()
        assert cluster.patched == []
        async with world.process() as process:
            await looks(Contents(cluster, process.controller.list_snapshots), 60)
    assert cluster.annotations("a") == annotations(snapshot)
    assert cluster.annotations("a")[SIZE] == str(64 << 20)
    assert cluster.patched == ["a"]


async def test_of_two_controllers_the_one_that_leads_writes(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The one that led has the snapshot in its journal, and does not even ask any more."""
    server = LeaseServer()
    way = LeaseClient(server)
    one, two = Lease(way, "rdscsi", "controller", "one"), Lease(LeaseClient(server), "rdscsi", "controller", "two")
    first, second = Cluster(), Cluster()
    second.contents = first.contents
    async with open_world(tmp_path) as world, open_lease(one), world.process(tmp_path / "1.db", lease=one) as former:
        opened = world.process(tmp_path / "2.db", lease=two, ready=False)
        async with open_lease(two), opened as latter, trio.open_nursery() as nursery:
            nursery.start_soon(Contents(first, former.controller.list_snapshots).keep)
            nursery.start_soon(Contents(second, latter.controller.list_snapshots).keep)
            snapshot = await taken(former)
            await trio.sleep(60)
            assert second.lists == 0
            way.up = False
            await latter.wait_ready()
            asked = first.lists
            first.contents["a"] = content("a", snapshot.snapshot_id)
            await trio.sleep(600)
            assert (first.patched, second.patched) == ([], ["a"])
            assert first.lists == asked
            nursery.cancel_scope.cancel()
    assert first.annotations("a") == annotations(snapshot)
