"""What a Node object says about a volume: whether the node is done with it, as the attach/detach controller asks.

kubelet lists a volume in `status.volumesInUse` before it mounts it and takes it off after it was unmounted (Kubernetes
API reference, NodeStatus), so a node that is well and does not list it has unstaged it. A person says that a node is
off by the taint `node.kubernetes.io/out-of-service` (Kubernetes, "Non-graceful node shutdown").
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from rdscsi import names

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class Reads(Protocol):
    """Where objects are read; `rdscsi.kube.api.ApiServer` says how."""

    async def get(self, *path: str) -> Mapping[str, object] | None: ...


class Nodes:
    """Asks the API server about nodes."""

    def __init__(self, api: Reads) -> None:
        self._api = api

    async def doubt(self, node_id: str, volume_id: str) -> str:
        """Say why a node may still be using a volume; empty when it is proven that it does not.

        Raises ClusterUnavailable when the API server cannot tell.
        """
        name = names.node_name(node_id)
        if name is None:
            return f"{node_id} names no node that could be asked about"
        node = await self._api.get("api", "v1", "nodes", name)
        return f"its Node object {name} is gone" if node is None else _doubt(name, node, volume_id)


def _doubt(name: str, node: Mapping[str, object], volume_id: str) -> str:
    if any(taint.get("key") == OUT_OF_SERVICE for taint in _maps(node, "spec", "taints")):
        return ""
    ready = [one for one in _maps(node, "status", "conditions") if one.get("type") == "Ready"]
    if [one.get("status") for one in ready] != ["True"]:
        return f"node {name} is not Ready"
    in_use = _value(node, "status", "volumesInUse")
    unique_name = f"kubernetes.io/csi/{names.DRIVER_NAME}^{volume_id}"
    if isinstance(in_use, list) and unique_name in in_use:
        return f"kubelet of {name} lists it in volumesInUse"
    return ""


def _maps(node: Mapping[str, object], *path: str) -> Iterator[Mapping[str, object]]:
    value = _value(node, *path)
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _value(node: Mapping[str, object], *path: str) -> object:
    value: object = node
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
