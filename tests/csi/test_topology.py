"""Topology at the edge: what nodes and volumes tell, and what is made of a requirement. Switched off by default."""

from pathlib import Path

import pytest
from csi_edge import Edge, open_client, open_edge
from csi_messages import NODE_ID, VOLUME_ID, create

from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.topology import Topology
from rdscsi.model import VolumeRequest

BACKEND = VOLUME_ID.split("/", 1)[0]
PREFIX = "topology.csi.rdscsi.io/"


def term(*backends: str, value: str = "true") -> pb.Topology:
    return pb.Topology(segments={PREFIX + name: value for name in backends})


def _reachable(edge: Edge) -> frozenset[str] | None:
    request = edge.controller.asked[-1][1]
    assert isinstance(request, VolumeRequest)
    return request.reachable


async def test_switched_on_both_halves_tell_and_the_plugin_says_so(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock", topology=True) as edge, open_client(edge.server.endpoint) as client:
        plugin = await client.call(pb.GetPluginCapabilitiesRequest(), pb.GetPluginCapabilitiesResponse)
        node = await client.call(pb.NodeGetInfoRequest(), pb.NodeGetInfoResponse)
        asked = create()
        asked.accessibility_requirements = pb.TopologyRequirement(requisite=[term("one"), term("two", "three")])
        made = await client.call(asked, pb.CreateVolumeResponse)
        assert _reachable(edge) == frozenset({"one", "two", "three"})
        await client.call(pb.GetCapacityRequest(accessible_topology=term("two")), pb.GetCapacityResponse)
        assert edge.controller.asked[-1][-1] == {"two"}
    services = {one.service.type.name for one in plugin.capabilities if one.service is not None}
    assert "VOLUME_ACCESSIBILITY_CONSTRAINTS" in services
    assert node == pb.NodeGetInfoResponse(
        node_id=NODE_ID, max_volumes_per_node=17, accessible_topology=term("one", "two")
    )
    assert made.volume is not None
    assert made.volume.accessible_topology == [term(BACKEND)]


async def test_switched_off_nothing_is_told_and_nothing_required(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        plugin = await client.call(pb.GetPluginCapabilitiesRequest(), pb.GetPluginCapabilitiesResponse)
        node = await client.call(pb.NodeGetInfoRequest(), pb.NodeGetInfoResponse)
        asked = create()
        asked.accessibility_requirements = pb.TopologyRequirement(requisite=[term("elsewhere")])
        made = await client.call(asked, pb.CreateVolumeResponse)
        assert _reachable(edge) is None
    assert "VOLUME_ACCESSIBILITY_CONSTRAINTS" not in {
        one.service.type.name for one in plugin.capabilities if one.service
    }
    assert node.accessible_topology is None
    assert made.volume is not None
    assert made.volume.accessible_topology == []


@pytest.mark.parametrize(
    ("requirement", "allowed"),
    [
        (None, None),
        (pb.TopologyRequirement(), None),
        (pb.TopologyRequirement(preferred=[term("one")]), {"one"}),
        (pb.TopologyRequirement(requisite=[term("one"), term("two")], preferred=[term("two")]), {"one", "two"}),
        (pb.TopologyRequirement(requisite=[pb.Topology(segments={"other.io/zone": "a"})]), set()),
        (pb.TopologyRequirement(requisite=[term("one", value="false")]), set()),
    ],
)
def test_what_a_requirement_allows(requirement: pb.TopologyRequirement | None, allowed: set[str] | None) -> None:
    assert Topology(on=True).allowed(requirement) == allowed
    assert Topology(on=False).allowed(requirement) is None
