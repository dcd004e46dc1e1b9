"""Measures what the node's process holds: after its start, and with many volumes staged and published on it.

    python tests/bench/node_memory.py [--volumes 50] [--host-backend auto|loop|simulated]

A sandbox whose two halves are processes of their own. Half of the volumes are block devices, half are filesystems. The
figure of the laboratory (`LAB_MANY=50`) is the one for NVMe/TCP; this one takes seconds. VmRSS counts pages of
libraries that all processes of a machine share; Pss counts each process's part of them, and Private what would be
given back if it ended.
"""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi.v1 import (
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    NodeGetInfoRequest,
    NodePublishVolumeRequest,
    NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest,
)
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import Client, open_client
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import CONTROLLER, NODE, Sandbox, open_sandbox

MIB = 1 << 20
SIZE = 32 * MIB
AT_ONCE = 8


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the memory of the node half.")
    parser.add_argument("--volumes", type=int, default=50)
    parser.add_argument("--host-backend", default="auto")
    arguments = parser.parse_args()
    trio.run(measure, arguments.volumes, arguments.host_backend)
    return 0


async def measure(volumes: int, host_backend: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        options = Options(
            state_dir=Path(directory) / "state",
            endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
            controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
            host_backend=host_backend,
            overrides={"log-level": "warning"},
        )
        async with open_loop(), open_sandbox(options, tell=print) as world:
            await with_volumes(world, Path(directory), volumes)


async def with_volumes(world: Sandbox, directory: Path, count: int) -> None:
    pid = world.processes[NODE].pid
    show("idle", pid)
    endpoints = world.record.endpoints
    async with open_client(endpoints[CONTROLLER]) as controller, open_client(endpoints[NODE]) as node:
        info = await node.settle(node.node.node_get_info, NodeGetInfoRequest())
        lives = [Life(number, info.node_id, directory, controller, node) for number in range(count)]
        await each(lives, Life.begin)
        show(f"{count} volumes", pid)
        await each(lives, Life.end)
        show("all taken off", pid)


async def each(lives: "list[Life]", work: "Callable[[Life], Awaitable[None]]") -> None:
    """Do it for all, some at a time."""
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(life: Life) -> None:
        async with limit:
            await work(life)

    async with trio.open_nursery() as nursery:
        for life in lives:
            nursery.start_soon(partial(one, life))


class Life:
    """One volume's life on the node."""

    def __init__(self, number: int, node_id: str, directory: Path, controller: Client, node: Client) -> None:
        self.name = f"pvc-{number}"
        self.capability = calls.block() if number % 2 else calls.filesystem()
        self.staging, self.target = str(directory / f"{self.name}-staged"), str(directory / f"{self.name}-pod")
        self.volume_id = ""
        self._node_id = node_id
        self._controller = controller
        self._node = node

    async def begin(self) -> None:
        """Make, publish, stage and publish it at a path."""
        made = await self._controller.settle(
            self._controller.controller.create_volume, calls.create(self.name, SIZE, self.capability)
        )
        assert made.volume is not None
        self.volume_id = made.volume.volume_id
        published = await self._controller.settle(
            self._controller.controller.controller_publish_volume,
            ControllerPublishVolumeRequest(
                volume_id=self.volume_id, node_id=self._node_id, volume_capability=self.capability
            ),
        )
        Path(self.staging).mkdir()
        await self._node.settle(
            self._node.node.node_stage_volume,
            NodeStageVolumeRequest(
                volume_id=self.volume_id,
                publish_context=published.publish_context,
                staging_target_path=self.staging,
                volume_capability=self.capability,
            ),
        )
        await self._node.settle(
            self._node.node.node_publish_volume,
            NodePublishVolumeRequest(
                volume_id=self.volume_id,
                publish_context=published.publish_context,
                staging_target_path=self.staging,
                target_path=self.target,
                volume_capability=self.capability,
            ),
        )

    async def end(self) -> None:
        """Take it off and delete it."""
        await self._node.settle(
            self._node.node.node_unpublish_volume,
            NodeUnpublishVolumeRequest(volume_id=self.volume_id, target_path=self.target),
        )
        await self._node.settle(
            self._node.node.node_unstage_volume,
            NodeUnstageVolumeRequest(volume_id=self.volume_id, staging_target_path=self.staging),
        )
        await self._controller.settle(
            self._controller.controller.controller_unpublish_volume,
            ControllerUnpublishVolumeRequest(volume_id=self.volume_id, node_id=self._node_id),
        )
        await self._controller.settle(self._controller.controller.delete_volume, calls.delete(self.volume_id))


def show(when: str, pid: int) -> None:
    """Print the memory of a process, in MiB (proc_pid_status(5), proc_pid_smaps(5))."""
    status = figures(Path(f"/proc/{pid}/status"))
    rollup = figures(Path(f"/proc/{pid}/smaps_rollup"))
    private = rollup["Private_Clean"] + rollup["Private_Dirty"]
    print(
        f"{when:<16} VmRSS {status['VmRSS']:5.1f} MiB (anonymous {status['RssAnon']:5.1f}, "
        f"files {status['RssFile']:5.1f})   Pss {rollup['Pss']:5.1f}   private {private:5.1f}   "
        f"threads {Path(f'/proc/{pid}/task').stat().st_nlink - 2}"
    )


def figures(path: Path) -> dict[str, float]:
    """Read the lines of a file in /proc that are in kB."""
    words = (line.split() for line in path.read_text().splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) / 1024 for name, size, _ in words}


if __name__ == "__main__":
    sys.exit(main())
