"""Measures NodeStageVolume of a new ext4 volume beside the bare commands, in turns, on loop devices of this machine.

    python tests/bench/node_stage.py [--rounds 20]          needs root

Loop devices stand for NVMe/TCP, which containers do not have; the laboratory has it, emulated (`test_node_many`).
The bare commands are losetup, mkfs.ext4 with the driver's options, and mount: what is left is the driver's own. On a
machine that others use only the processor time means something: it is told apart from the time that passed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from rdscsi.config import NodeSettings
from rdscsi.host.calls import open_calls
from rdscsi.host.filesystems import make_argv
from rdscsi.host.local import Deadlines
from rdscsi.host.loop import LoopHost
from rdscsi.host.process import Processes
from rdscsi.journal import open_journal
from rdscsi.node.node import Node, make_node
from rdscsi.operations import Operations
from rdscsi.testing.node import CLUSTER, NodeWorld

SIZE = 64 << 20


@dataclass(slots=True)
class Times:
    """Seconds of each round."""

    passed: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def shown(self) -> str:
        """Least and median, in milliseconds."""
        return "   ".join(
            f"{min(one) * 1000:6.1f} / {median(one) * 1000:6.1f}" for one in (self.passed, self.processor)
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure staging beside the bare commands.")
    parser.add_argument("--rounds", type=int, default=20)
    trio.run(measure, parser.parse_args().rounds)
    return 0


async def measure(rounds: int) -> None:
    bare, driver = Times(), Times()
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-", dir="/var/tmp") as name:
        world = NodeWorld(Path(name))
        async with open_node(world) as node:
            for number in range(rounds):
                by_hand(Path(name) / f"bare-{number}", bare)
                await by_driver(world, node, f"pvc-{number}", driver)
    print(f"{'ms, least / median':<20} {'passed':>15}   {'processor':>15}")
    print(f"{'bare commands':<20} {bare.shown()}")
    print(f"{'NodeStageVolume':<20} {driver.shown()}")
    ratios = [min(own) / min(by) for own, by in ((driver.passed, bare.passed), (driver.processor, bare.processor))]
    print(f"times as long (least by least): {ratios[0]:.2f} passed, {ratios[1]:.2f} processor")


@asynccontextmanager
async def open_node(world: NodeWorld) -> AsyncIterator[Node]:
    processes = Processes()
    async with open_calls(processes) as calls, open_journal(world.journal_path) as journal:
        host = LoopHost(world.exporter.exports, processes=processes, calls=calls, deadlines=Deadlines())
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=60)
            settings = NodeSettings(node_name="node-a")
            yield await make_node(settings, host=host, cluster_id=CLUSTER, journal=journal, operations=operations)
            nursery.cancel_scope.cancel()


def by_hand(file: Path, times: Times) -> None:
    """Attach, format and mount; then take it off again."""
    file.touch()
    os.truncate(file, SIZE)
    mount_point = file.with_suffix(".mounted")
    with timed(times):
        device = said("losetup", "--find", "--show", str(file))
        said(*make_argv("ext4", (), force=False), device)
        mount_point.mkdir()
        said("mount", "-t", "ext4", device, str(mount_point))
    said("umount", str(mount_point))
    said("losetup", "--detach", device)


async def by_driver(world: NodeWorld, node: Node, name: str, times: Times) -> None:
    request = world.stage_request(world.volume(name, size_bytes=SIZE))
    with timed(times):
        await node.stage(request)
    await node.unstage(request.volume_id, request.staging_target_path)


def said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def timed(times: Times) -> Iterator[None]:
    """Take both times of the body; the processor's with that of the tools, without that of the callee."""
    began, used = time.monotonic(), processor()
    yield
    times.passed.append(time.monotonic() - began)
    times.processor.append(processor() - used)


def processor() -> float:
    own, tools = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + tools.ru_utime + tools.ru_stime


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
