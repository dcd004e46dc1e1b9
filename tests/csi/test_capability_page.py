"""docs/CAPABILITIES.md says what the driver advertises, all of it, and nothing else."""

import re
from pathlib import Path

import pytest
from csi_edge import open_client, open_edge

from rdscsi.csi.pb.csi import v1 as pb

PAGE = (Path(__file__).parents[2] / "docs" / "CAPABILITIES.md").read_text()
VERDICTS = {"implemented", "refused", "deferred"}


def rows(section: str) -> dict[str, str]:
    """Return the verdict on each capability of one table."""
    text = PAGE.split(f"## {section}", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| ([A-Z][A-Za-z_ ]+[A-Z]) \| (\w+) \|", text, re.MULTILINE)
    assert len(found) == len(dict(found))
    return dict(found)


def named(kind: type) -> set[str]:
    """Return the names of an enumeration of the contract."""
    return {name for name in kind.__members__ if name != "UNKNOWN"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("section", "known"),
    [
        (
            "Plugin",
            named(pb.PluginCapabilityServiceType)
            | {f"VolumeExpansion {name}" for name in named(pb.PluginCapabilityVolumeExpansionType)},
        ),
        ("Controller", named(pb.ControllerServiceCapabilityRpcType)),
        ("Node", named(pb.NodeServiceCapabilityRpcType)),
        ("Group controller", named(pb.GroupControllerServiceCapabilityRpcType)),
    ],
)
def test_every_capability_of_the_contract_has_a_verdict(section: str, known: set[str]) -> None:
    assert rows(section).keys() == known
    assert set(rows(section).values()) <= VERDICTS


async def test_what_is_called_implemented_is_what_is_advertised(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock", topology=True) as edge, open_client(edge.server.endpoint) as client:
        plugin = await client.call(pb.GetPluginCapabilitiesRequest(), pb.GetPluginCapabilitiesResponse)
        controller = await client.call(pb.ControllerGetCapabilitiesRequest(), pb.ControllerGetCapabilitiesResponse)
        node = await client.call(pb.NodeGetCapabilitiesRequest(), pb.NodeGetCapabilitiesResponse)
    advertised = {
        "Plugin": {one.service.type.name for one in plugin.capabilities if one.service is not None}
        | {
            f"VolumeExpansion {one.volume_expansion.type.name}"
            for one in plugin.capabilities
            if one.volume_expansion is not None
        },
        "Controller": {one.rpc.type.name for one in controller.capabilities if one.rpc is not None},
        "Node": {one.rpc.type.name for one in node.capabilities if one.rpc is not None},
        "Group controller": set(),
    }
    for section, names in advertised.items():
        assert {name for name, verdict in rows(section).items() if verdict == "implemented"} == names, section


@pytest.mark.parametrize("section", ["Plugin", "Controller", "Node", "Group controller"])
def test_what_is_refused_says_why(section: str) -> None:
    text = PAGE.split(f"## {section}", 1)[1].split("\n## ", 1)[0]
    for name, why in re.findall(r"^\| ([A-Za-z_ ]+) \| refused \| ([^|]*) \|", text, re.MULTILINE):
        assert len(why.strip()) > 10, name
