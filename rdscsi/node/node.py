"""The node half behind its port (`rdscsi.csi.ports.NodePort`): each change is an operation of its volume.

A call waits for the operation or joins the one that runs; its deadline ends the wait only (law 1). What an operation
does is in the modules beside this one. `open_node` makes one.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from rdscsi import names
from rdscsi.config import NodeSettings
from rdscsi.host.ports import Host
from rdscsi.host.select import open_host
from rdscsi.journal import Journal
from rdscsi.model import NodeExpandRequest, NodePublishRequest, StageRequest, StorageProblem, VolumeHealth, VolumeStats
from rdscsi.node import expansion, publishing, recovery, staging, stats, unstaging
from rdscsi.node.machine import Machine
from rdscsi.node.recovery import Recovery
from rdscsi.node.sweep import Sweep
from rdscsi.node.watch import Watch
from rdscsi.operations import Operations


class Node:
    """Serves one machine. `recover` does what nobody asks for, and runs for as long as the node does."""

    def __init__(
        self,
        *,
        machine: Machine,
        operations: Operations,
        max_volumes_per_node: int,
        forgotten_after: float,
        backends: Sequence[str] = (),
    ) -> None:
        self.host = machine.host
        self._machine = machine
        self._operations = operations
        self._recovery = Recovery(machine=machine, operations=operations)
        self._max_volumes = max_volumes_per_node
        self._backends = tuple(backends)
        self._watch = Watch(machine=machine, operations=operations)
        self._sweep = Sweep(machine=machine, operations=operations, after=forgotten_after)

    @property
    def node_id(self) -> str:
        """The CSI node id."""
        return self._machine.node_id

    @property
    def backends(self) -> Sequence[str]:
        """The backends whose storage addresses this machine is said to reach."""
        return self._backends

    @property
    def max_volumes_per_node(self) -> int:
        """How many volumes may be placed here; 0: as many as are asked for."""
        return self._max_volumes

    def ready(self) -> bool:
        """Tell whether the half has started: `open_node` has done what comes before the first call."""
        return True

    async def recover(self) -> None:
        """Settle what is open, take off what was forgotten and watch what is staged, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._recovery.run)
            nursery.start_soon(self._sweep.run)
            nursery.start_soon(self._watch.run)

    async def stage(self, request: StageRequest) -> None:
        """See `staging.stage`."""
        self._recovery.wanted(request.volume_id)
        work = partial(staging.stage, self._machine, request)
        await self._operations.run(request.volume_id, ("stage", request), work)

    async def unstage(self, volume_id: str, staging_target_path: str) -> None:
        """See `unstaging.unstage`."""
        work = partial(unstaging.unstage, self._machine, volume_id, staging_target_path)
        await self._operations.run(volume_id, ("unstage", staging_target_path), work)

    async def publish(self, request: NodePublishRequest) -> None:
        """See `publishing.publish`."""
        self._recovery.wanted(request.volume_id)
        work = partial(publishing.publish, self._machine, request)
        await self._operations.run(request.volume_id, ("publish", request), work)

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        """See `publishing.unpublish`."""
        work = partial(publishing.unpublish, self._machine, volume_id, target_path)
        await self._operations.run(volume_id, ("unpublish", target_path), work)

    async def stats(self, volume_id: str, volume_path: str, staging_target_path: str) -> VolumeStats:
        """See `stats.stats`. Changes nothing, so it is no operation and ends with its caller."""
        return await stats.stats(self._machine, volume_id, volume_path, staging_target_path)

    async def volume_health(self, volume_id: str) -> VolumeHealth:
        """See `Watch.health`. Changes nothing, as `stats`."""
        return await self._watch.health(volume_id)

    async def storage_health(self) -> Sequence[StorageProblem]:
        """See `Watch.storage_health`. Changes nothing, as `stats`."""
        return await self._watch.storage_health()

    async def expand(self, request: NodeExpandRequest) -> int:
        """See `expansion.expand`."""
        work = partial(expansion.expand, self._machine, request)
        return await self._operations.run(request.volume_id, ("expand", request), work)


@asynccontextmanager
async def open_node(
    settings: NodeSettings,
    *,
    cluster_id: str,
    journal: Journal,
    operations: Operations,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Node]:
    """Open the machine and the node half on it. The caller runs `Node.recover` in the background.

    `now` gives seconds since the epoch.
    """
    async with open_host(settings) as host:
        yield await make_node(
            settings, host=host, cluster_id=cluster_id, journal=journal, operations=operations, now=now
        )


async def make_node(
    settings: NodeSettings,
    *,
    host: Host,
    cluster_id: str,
    journal: Journal,
    operations: Operations,
    now: Callable[[], float] = time.time,
) -> Node:
    """Put the node half together on a machine that is open, and do what comes before the first call."""
    node_id = names.node_id(settings.node_name)
    machine = Machine(
        host=host,
        journal=journal,
        cluster_id=cluster_id,
        node_id=node_id,
        now=now,
        host_traddr=settings.host_traddr,
        host_iface=settings.host_iface,
    )
    await recovery.begin(machine)
    return Node(
        machine=machine,
        operations=operations,
        max_volumes_per_node=settings.max_volumes_per_node,
        forgotten_after=settings.forgotten_after,
        backends=settings.backends,
    )
