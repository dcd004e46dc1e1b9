"""Runs the demonstration: a sandbox in a directory of its own, two lives, a crash, and a look for what was left."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi.v1 import NodeGetInfoRequest
from rdscsi.demo.console_log import ConsoleLog
from rdscsi.demo.crash import crash
from rdscsi.demo.lives import Plan, live
from rdscsi.demo.telling import StepFailed, Telling, View
from rdscsi.demo.world import MIB, World
from rdscsi.errors import DriverError
from rdscsi.sandbox import appliance, calls
from rdscsi.sandbox.client import open_client
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import CONTROLLER, NODE, Sandbox, open_sandbox

FILESYSTEM = Plan("demo-filesystem", calls.filesystem("xfs"), 512 * MIB, 640 * MIB)
BLOCK = Plan("demo-block", calls.block(), 128 * MIB, 192 * MIB)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `rdscsi demo` was asked for."""

    latency: str = "realistic"
    host_backend: str = "auto"


async def run(wishes: Wishes, view: View) -> int:
    """Show everything; 0 when all went as promised, 1 when not. Leaves nothing behind."""
    failures: list[BaseException] = []
    with tempfile.TemporaryDirectory(prefix="rdscsi-demo-") as directory:
        try:
            async with open_loop():
                await _show(wishes, view, Path(directory))
        except* DriverError as group:
            failures = _leaves(group)
    if failures:
        view.say(f"\nThe demonstration failed: {'; '.join(map(str, failures))}")
    return 1 if failures else 0


async def _show(wishes: Wishes, view: View, directory: Path) -> None:
    options = Options(
        state_dir=directory / "state",
        endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
        controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
        latency=wishes.latency,
        host_backend=wishes.host_backend,
    )
    view.say("Starting a simulated RDS, a controller and a node, each in a process of its own …")
    async with open_sandbox(options, tell=view.say) as sandbox, _open_world(view, sandbox, directory) as world:
        telling = world.telling
        view.say(_setting(wishes, world))
        telling.chapter(
            "A filesystem volume", "Each step is one gRPC call; below it, what it may change on the appliance."
        )
        await live(world, FILESYSTEM)
        telling.chapter("A raw block volume", "As a KubeVirt machine uses it.")
        await live(world, BLOCK)
        telling.chapter("The worst moment", "SIGKILL between the appliance's effect and the journal's commit.")
        await crash(world)
        telling.chapter("What is left")
        await _prove_nothing_left(world)
    view.say(f"\nAll {len(telling.steps)} steps went well; sandbox, mounts and devices are gone.")


@asynccontextmanager
async def _open_world(view: View, sandbox: Sandbox, directory: Path) -> AsyncIterator[World]:
    endpoints = sandbox.record.endpoints
    log = ConsoleLog(Path(sandbox.record.logs[CONTROLLER]))
    async with open_client(endpoints[CONTROLLER]) as controller, open_client(endpoints[NODE]) as node:
        info = await node.call(node.node.node_get_info, NodeGetInfoRequest())
        mounts = directory / "mounts"
        mounts.mkdir()
        yield World(
            telling=Telling(view, log.fresh),
            sandbox=sandbox,
            controller=controller,
            node=node,
            node_id=info.node_id,
            directory=mounts,
            real=sandbox.record.host_backend == "loop",
            holdings=await _look(sandbox),
        )


def _setting(wishes: Wishes, world: World) -> str:
    kernel = "real loop devices, filesystems and mounts" if world.real else "a simulated kernel (see below)"
    why = "" if world.real else _why_simulated()
    return f"Ready. Console latency: {wishes.latency}. The node uses {kernel}.{why}"


def _why_simulated() -> str:
    reason = "this user is not root" if os.geteuid() else "losetup or mount does not work here"
    return (
        f"\nNo loop devices ({reason}): attaching, formatting and mounting are only simulated, and no data is written."
    )


async def _look(sandbox: Sandbox) -> appliance.Holdings:
    assert sandbox.record.ssh is not None
    async with appliance.open_appliance(sandbox.record.ssh) as console:
        return await appliance.look(console)


async def _prove_nothing_left(world: World) -> None:
    with world.telling.step("disks, subvolumes and files on the appliance are what they were") as step:
        if left := (await _look(world.sandbox)).beyond(world.holdings):
            raise StepFailed(f"left over: {', '.join(left)}")
        step.remark("nothing is left over")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


def main(wishes: Wishes, view: View) -> int:
    """Run it all under Trio."""
    return trio.run(run, wishes, view)
