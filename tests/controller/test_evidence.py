"""Nodes that may still be writing, where somebody can be asked about them (law 8)."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from rdscsi.errors import ClusterUnavailable, NotPermittedNow
from rdscsi.tags import parse_tag
from rdscsi.testing.orchestrator import NODE_A, NODE_B, NODE_C, SHARED, attach, settle, wish
from rdscsi.testing.world import OPTIONS, World, open_world


class Cluster:
    """Knows why nodes may still be using a volume; `away`: it does not answer."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.away = False

    async def doubt(self, node_id: str, volume_id: str) -> str:
        assert volume_id.startswith("rds/")
        if self.away:
            raise ClusterUnavailable("the API server is away")
        return self.reasons.get(node_id, "")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def asked(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, evidence=cluster) as world:
        yield world


@pytest.fixture
async def trusted(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    options = dataclasses.replace(OPTIONS, cut_ends_io=True)
    async with open_world(tmp_path, evidence=cluster, options=options) as world:
        yield world


async def test_a_node_that_is_done_makes_way(asked: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    async with asked.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert states(asked, volume.volume_id) == {NODE_A: "l"}
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))


async def test_a_node_that_is_in_doubt_is_cut_off_and_nobody_else_let_in(
    asked: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with asked.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        cluster.reasons[NODE_A] = "node node-a is not Ready"
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert states(asked, volume.volume_id) == {NODE_A: "d"}
        with pytest.raises(NotPermittedNow, match=r"not Ready.*kubectl taint nodes node-a .*out-of-service"):
            await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))
        assert not [disk for disk in asked.appliance.storage.disks if disk.exported]
        await settle(lambda: process.controller.publish_volume(attach(volume)))  # it may come back itself
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        cluster.reasons.clear()
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))
        assert states(asked, volume.volume_id) == {NODE_B: "p"}


async def test_where_a_cut_is_known_to_end_io_the_doubt_does_not_hold_up(
    trusted: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with trusted.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        cluster.reasons[NODE_A] = "its Node object node-a is gone"
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))


async def test_a_cut_does_not_wait_for_the_api_server_and_the_next_node_does(
    asked: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with asked.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        cluster.away = True
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert states(asked, volume.volume_id) == {NODE_A: "d"}
        with pytest.raises(ClusterUnavailable):
            await process.controller.publish_volume(attach(volume, NODE_B))
        cluster.away = False
        await settle(lambda: process.controller.publish_volume(attach(volume, NODE_B)))


async def test_a_machine_migrates_on_and_on_where_each_node_is_known_to_be_done(
    asked: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with asked.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        context = await process.controller.publish_volume(attach(volume, NODE_A, SHARED))
        for left, right in [(NODE_A, NODE_B), (NODE_B, NODE_C), (NODE_C, NODE_A)] * 3:
            assert await process.controller.publish_volume(attach(volume, right, SHARED)) == context
            await process.controller.unpublish_volume(volume.volume_id, left)
            assert states(asked, volume.volume_id)[right] == "p"


async def test_a_third_node_waits_for_one_that_left_and_is_in_doubt(
    asked: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with asked.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume, NODE_A, SHARED))
        await process.controller.publish_volume(attach(volume, NODE_B, SHARED))
        cluster.reasons[NODE_A] = "kubelet of node-a lists it in volumesInUse"
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        with pytest.raises(NotPermittedNow, match="volumesInUse"):
            await process.controller.publish_volume(attach(volume, NODE_C, SHARED))
        cluster.reasons.clear()
        await process.controller.publish_volume(attach(volume, NODE_C, SHARED))
        assert states(asked, volume.volume_id) == {NODE_B: "p", NODE_C: "p"}


def states(world: World, volume_id: str) -> dict[str, str]:
    disk = world.appliance.storage.disks.by_slot(volume_id.partition("/")[2])
    assert disk is not None
    tag = parse_tag(str(disk.setting("comment", "")))
    assert tag is not None
    assert tag.publication is not None
    return {node.node: node.state.value for node in tag.publication.nodes}
