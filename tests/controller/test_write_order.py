"""docs/crash-safety.md tells each operation's writes in their order; here they are noted and compared.

A write is a commit of the journal, a statement that changes something on the appliance, or an action of the kernel.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller import importing
from rdscsi.errors import NotFinal
from rdscsi.journal.writer import Moment
from rdscsi.model import GIB, MIB, CapacityRange, Claim, SnapshotRequest
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.testing.node import NodeWorld
from rdscsi.testing.orchestrator import NODE_A, Cluster, attach, wish
from rdscsi.testing.world import World, open_world

PAGE = Path(__file__).parents[2] / "docs" / "crash-safety.md"
_SECTION = re.compile(r"^### `([a-z -]+)`.*?\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| \d+ \| `([^`]+)` \|", re.MULTILINE)
_FORGETS_ITEMS = ApplianceOptions(
    pool=PoolOptions(size=1024 * GIB),
    initial_uptime=3600.0,
    behaviour=Behaviour(config_flush_delay=30.0, pool_flush_delay=0.0),
)


def told() -> dict[str, list[str]]:
    """Return the writes that the page tells, by operation."""
    return {name: _ROW.findall(body) for name, body in _SECTION.findall(PAGE.read_text())}


class Notes:
    """Notes the writes of a controller's world."""

    def __init__(self, world: World) -> None:
        self.writes: list[str] = []
        self._commit = world.strikes.commit
        world.appliance.before_mutation = self._statement
        world.strikes.commit = self._committed  # type: ignore[method-assign]

    def _statement(self, path: str, arguments: Mapping[str, object]) -> None:
        state = re.match(r"rdscsi1 (?:v (\w+)|m )", str(arguments.get("comment", "")))
        named = [name for name in arguments if name not in ("numbers", "comment")] if path == "/disk/set" else []
        tag = [f"comment={state[1] or 'marker'}"] if state else []
        self.writes.append(" ".join([path, *named, *tag]))

    def _committed(self, moment: Moment) -> None:
        if moment is Moment.AFTER:
            self.writes.append("commit")
        self._commit(moment)

    async def of(self, call: Callable[[], Awaitable[object]]) -> list[str]:
        """Return the writes of one call."""
        self.writes.clear()
        await call()
        return list(self.writes)


async def test_the_controllers_writes_are_the_pages(tmp_path: Path, autojump_clock: MockClock) -> None:
    found: dict[str, list[str]] = {}
    async with open_world(tmp_path) as world:
        notes = Notes(world)
        async with world.process():
            found["first start"] = list(notes.writes)
            world.crash()
        notes.writes.clear()
        async with world.process() as process:
            found["take-over"] = list(notes.writes)
            controller = process.controller
            volume = await controller.create_volume(wish("pvc-0"))
            found["create"] = await notes.of(lambda: controller.create_volume(wish("pvc-1")))
            found["publish"] = await notes.of(lambda: controller.publish_volume(attach(volume)))
            larger = CapacityRange(128 * MIB)
            found["expand"] = await notes.of(lambda: controller.expand_volume(volume.volume_id, larger, None))
            found["unpublish"] = await notes.of(lambda: controller.unpublish_volume(volume.volume_id, NODE_A))
            snapshot = SnapshotRequest("snap-1", volume.volume_id)
            found["create-snapshot"] = await notes.of(lambda: controller.create_snapshot(snapshot))
            (kept,) = await process.journal.snapshots()
            found["delete-snapshot"] = await notes.of(lambda: controller.delete_snapshot(kept.snapshot_id))
            found["delete"] = await notes.of(lambda: controller.delete_volume(volume.volume_id))
    page = told()
    assert {name: page[name] for name in found} == found


async def test_the_repairs_writes_are_the_pages(tmp_path: Path, autojump_clock: MockClock) -> None:
    found: dict[str, list[str]] = {}
    async with open_world(tmp_path, appliance=_FORGETS_ITEMS) as world:
        notes = Notes(world)
        async with world.process() as process:
            await trio.sleep(60)
            volume = await process.controller.create_volume(wish("pvc-1"))
            world.appliance.reboot()
            found["restore"] = await notes.of(lambda: trio.sleep(2 * world.options.refresh_every))
            await trio.sleep(60)
            await process.controller.delete_volume(volume.volume_id)
            world.appliance.reboot()
            found["erase"] = await notes.of(lambda: trio.sleep(2 * world.options.refresh_every))
    page = told()
    assert {name: page[name] for name in found} == found


async def test_the_writes_of_giving_up_are_the_pages(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path, claims=Cluster(dice=Random(1), away=0.0)) as world:
        notes = Notes(world)
        async with world.process() as process:
            world.faults.add("drop-after", contains="/disk/add", times=1)
            with pytest.raises(NotFinal):
                await process.controller.create_volume(wish("pvc-1", claim=Claim("default", "data")))
            found = await notes.of(lambda: trio.sleep(world.options.abandon_after + 60))
    assert found == told()["give up"]


async def test_the_imports_writes_are_the_pages(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path) as world:
        world.machine.put_stranger("vm-1")
        world.machine.set_by_hand("vm-1", comment="")
        notes = Notes(world)
        async with world.process() as process:
            backend = process.controller.backend
            found = await notes.of(lambda: importing.adopt(backend, "vm-1", "pool1/vm-1.img"))
    assert found == told()["adopt"]


async def test_the_nodes_writes_are_the_pages(tmp_path: Path, autojump_clock: MockClock) -> None:
    world, found = NodeWorld(tmp_path), dict[str, list[str]]()
    async with world.process() as process:
        node, volume, effects = process.node, world.volume(), process.life.effects

        async def noted(kind: str, call: Callable[[], Awaitable[object]]) -> None:
            effects.clear()
            await call()
            found[kind] = list(effects)

        staging = world.stage_request(volume)
        target = world.publish_request(volume)
        await noted("stage", lambda: node.stage(staging))
        await noted("node-publish", lambda: node.publish(target))
        world.grow(volume, 128 * MIB)
        growth = world.expand_request(volume, target.target_path, 128 * MIB)
        await noted("node-expand", lambda: node.expand(growth))
        await noted("node-unpublish", lambda: node.unpublish(volume.volume_id, target.target_path))
        await noted("unstage", lambda: node.unstage(volume.volume_id, staging.staging_target_path))
    page = told()
    assert {name: page[name] for name in found} == found


def test_each_write_says_what_a_crash_after_it_leaves_and_who_ends_it() -> None:
    for name, body in _SECTION.findall(PAGE.read_text()):
        rows = [line.strip("|").split("|") for line in body.splitlines() if re.match(r"\| \d+ \|", line)]
        assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1)), name
        assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in rows), name
