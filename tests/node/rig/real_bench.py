"""A node on this machine over real loop devices, filesystems and mounts; needs root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from rdscsi.config import NodeSettings
from rdscsi.host.calls import open_calls
from rdscsi.host.devices import loops
from rdscsi.host.local import Deadlines
from rdscsi.host.loop import LoopHost
from rdscsi.host.ports import Mount
from rdscsi.host.process import Processes
from rdscsi.journal import Journal, open_journal
from rdscsi.model import MIB, AccessType
from rdscsi.node.node import Node, make_node
from rdscsi.node.sweep import Sweep
from rdscsi.operations import Operations
from rdscsi.testing.host import open_processes
from rdscsi.testing.node import CLUSTER, NodeVolume, NodeWorld

SIZE = 320 * MIB


@dataclass
class Bench:
    """A node on this machine, and its sweep without a wait: one look is enough."""

    world: NodeWorld
    node: Node
    sweep: Sweep
    host: LoopHost
    processes: Processes
    journal: Journal

    async def mounts(self, path: str) -> list[Mount]:
        return [one for one in await self.host.mounts() if one.mount_point == path]

    async def run(self, *argv: str) -> str:
        return await self.processes.check(argv, deadline=60)

    async def stage(self, volume: NodeVolume) -> None:
        await self.node.stage(self.world.stage_request(volume))

    async def unstage(self, volume: NodeVolume) -> None:
        await self.node.unstage(volume.volume_id, self.staging(volume))

    def staging(self, volume: NodeVolume) -> str:
        return self.world.path(f"{volume.name}-staged")

    async def forgotten(self, access_type: AccessType) -> NodeVolume:
        """A volume that is staged and withdrawn."""
        volume = self.world.volume(size_bytes=SIZE, access_type=access_type)
        await self.node.stage(self.world.stage_request(volume))
        self.world.exporter.withdraw(volume.subnqn)
        return volume

    async def is_gone(self, volume: NodeVolume) -> bool:
        mounted = [one for one in await self.host.mounts() if one.mount_point.startswith(str(self.world.directory))]
        attached = [one for one in loops.loops() if one.inode[1] == volume.file.stat().st_ino]
        return not mounted and not attached and not await self.journal.stages()


@asynccontextmanager
async def open_bench(world: NodeWorld) -> AsyncIterator[Bench]:
    deadlines = Deadlines(connect=3, mount=10, mkfs=60)
    async with (
        open_processes() as processes,
        open_calls(processes) as calls,
        open_journal(world.journal_path) as journal,
    ):
        host = LoopHost(world.exporter.exports, processes=processes, calls=calls, deadlines=deadlines)
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=60)
            settings = NodeSettings(node_name="node-a")
            node = await make_node(settings, host=host, cluster_id=CLUSTER, journal=journal, operations=operations)
            sweep = Sweep(machine=node._machine, operations=operations, after=0)
            try:
                yield Bench(world, node, sweep, host, processes, journal)
            finally:
                nursery.cancel_scope.cancel()
