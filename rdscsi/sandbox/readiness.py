"""Waiting until a sandbox can be used: the appliance listens, both halves answer, the inventory is complete."""

import trio

from rdscsi.csi.pb.csi.v1 import GetCapacityRequest, NodeGetInfoRequest
from rdscsi.sandbox.client import open_client
from rdscsi.sandbox.record import Ssh

_PROBE_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.05


async def wait_appliance(ssh: Ssh) -> None:
    """Wait until the simulated RDS listens and has written down its host key, which the driver reads at its start.

    Bounded by the caller.
    """
    while not await _answers(ssh):  # noqa: ASYNC110 - nobody tells of another process's listener
        await trio.sleep(_LOOK_AGAIN_SECONDS)


async def _answers(ssh: Ssh) -> bool:
    if not await trio.Path(ssh.host_key).exists():
        return False
    try:
        stream = await trio.open_tcp_stream(ssh.host, ssh.port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def wait_controller(endpoint: str) -> None:
    """Wait until the inventory is complete: before, GetCapacity is UNAVAILABLE."""
    async with open_client(endpoint) as client:
        await client.settle(client.controller.get_capacity, GetCapacityRequest(), timeout=_PROBE_SECONDS)


async def wait_node(endpoint: str) -> None:
    """Wait until the node half tells its name."""
    async with open_client(endpoint) as client:
        await client.settle(client.node.node_get_info, NodeGetInfoRequest(), timeout=_PROBE_SECONDS)
