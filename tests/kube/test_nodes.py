"""What a Node object proves about a volume."""

from collections.abc import Mapping

import pytest

from rdscsi import names
from rdscsi.kube import Nodes

VOLUME = "rds/vwrs4eg-73erkkta3ehsf5z2537pywbx"
NODE = names.node_id("node-a")
READY = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]
OTHERS = [f"kubernetes.io/csi/{names.DRIVER_NAME}^rds/another", f"kubernetes.io/csi/other.example^{VOLUME}"]
OURS = f"kubernetes.io/csi/{names.DRIVER_NAME}^{VOLUME}"
OFF = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


class Objects:
    def __init__(self, node: Mapping[str, object] | None) -> None:
        self.node = node
        self.asked: list[tuple[str, ...]] = []

    async def get(self, *path: str) -> Mapping[str, object] | None:
        self.asked.append(path)
        return self.node


def node(*, in_use: object = (), conditions: object = READY, taints: object = ()) -> Mapping[str, object]:
    return {
        "spec": {"taints": list(taints) if isinstance(taints, tuple) else taints},
        "status": {"conditions": conditions, "volumesInUse": list(in_use) if isinstance(in_use, tuple) else in_use},
    }


@pytest.mark.parametrize(
    "proof",
    [
        node(),
        node(in_use=tuple(OTHERS)),
        node(in_use=(OURS,), conditions=[{"type": "Ready", "status": "Unknown"}], taints=(OFF,)),
    ],
)
async def test_a_node_that_is_well_and_lists_it_not_or_is_off_is_done(proof: Mapping[str, object]) -> None:
    objects = Objects(proof)
    assert await Nodes(objects).doubt(NODE, VOLUME) == ""
    assert objects.asked == [("api", "v1", "nodes", "node-a")]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "Node object node-a is gone"),
        (node(in_use=(*OTHERS, OURS)), "volumesInUse"),
        (node(conditions=[{"type": "Ready", "status": "Unknown"}]), "not Ready"),
        (node(conditions=[]), "not Ready"),
        (node(conditions=None), "not Ready"),
        ({}, "not Ready"),
        (node(taints=({"key": "node.kubernetes.io/unreachable"},), conditions=[]), "not Ready"),
    ],
)
async def test_anything_else_is_a_reason_to_doubt(found: Mapping[str, object] | None, reason: str) -> None:
    assert reason in await Nodes(Objects(found)).doubt(NODE, VOLUME)


async def test_an_id_that_names_no_node_is_not_asked_about() -> None:
    objects = Objects(node())
    assert "names no node" in await Nodes(objects).doubt("#abc", VOLUME)
    assert objects.asked == []
