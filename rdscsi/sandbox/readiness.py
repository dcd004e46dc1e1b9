"""Waiting until a sandbox can be used: both halves answer, and the controller has looked through its appliance."""

from rdscsi.csi.pb.csi.v1 import GetCapacityRequest, NodeGetInfoRequest
from rdscsi.sandbox.client import open_client

_PROBE_SECONDS = 5.0


async def wait_controller(endpoint: str) -> None:
    """Wait until the inventory is complete: before, GetCapacity is UNAVAILABLE."""
    async with open_client(endpoint) as client:
        await client.settle(client.controller.get_capacity, GetCapacityRequest(), timeout=_PROBE_SECONDS)


async def wait_node(endpoint: str) -> None:
    """Wait until the node half tells its name."""
    async with open_client(endpoint) as client:
        await client.settle(client.node.node_get_info, NodeGetInfoRequest(), timeout=_PROBE_SECONDS)
