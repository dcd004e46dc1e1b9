"""Measures lists of many: volumes, snapshots and health in pages, with time and memory, on a sandbox.

    python tests/bench/listing.py [--number 1000]

Prints figures; nothing here passes or fails, but for what is missing from a list. Compare figures of one run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import MIB
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import Client, open_client
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import CONTROLLER, Sandbox, open_sandbox

PAGES = (50, 200, 500)
AT_ONCE = 8
SOURCES = 20
"""Volumes that the snapshots are taken of, in turn."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure lists of many volumes and snapshots.")
    parser.add_argument("--number", type=int, default=1000, help="of volumes, and of snapshots (default: 1000)")
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        options = Options(
            state_dir=Path(directory) / "state",
            endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
            controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
            overrides={"log-level": "warning"},
        )
        trio.run(measure, options, parser.parse_args().number)
    return 0


async def measure(options: Options, number: int) -> None:
    async with open_loop(), open_sandbox(options, tell=print) as world:
        await measured(world, number)


async def measured(world: Sandbox, number: int) -> None:
    pid = world.processes[CONTROLLER].pid
    async with open_client(world.record.endpoints[CONTROLLER]) as client:
        print(f"RSS of the controller idle {resident(pid):.1f} MiB")
        ids: list[str] = []

        async def volume(at: int) -> None:
            made = await client.settle(
                client.controller.create_volume, calls.create(f"pvc-{at}", MIB, calls.filesystem())
            )
            assert made.volume is not None
            ids.append(made.volume.volume_id)

        async def snapshot(at: int) -> None:
            request = pb.CreateSnapshotRequest(name=f"snap-{at}", source_volume_id=ids[at % SOURCES])
            await client.settle(client.controller.create_snapshot, request)

        await many(number, volume, "volumes made")
        print(f"RSS of the controller with {number} volumes {resident(pid):.1f} MiB")
        await many(number, snapshot, "snapshots made")
        print(f"RSS of the controller with {number} snapshots too {resident(pid):.1f} MiB")
        for size in PAGES:
            await lists(client, "ListVolumes", client.controller.list_volumes, pb.ListVolumesRequest, size, number)
            await lists(
                client, "ListSnapshots", client.controller.list_snapshots, pb.ListSnapshotsRequest, size, number
            )
        health = client.controller.controller_list_volume_health
        await lists(client, "ListVolumeHealth", health, pb.ControllerListVolumeHealthRequest, PAGES[-1], 0)
        print(f"RSS of the controller after all lists {resident(pid):.1f} MiB")


def resident(pid: int) -> float:
    """Resident memory of a process in MiB (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def spread(seconds: list[float]) -> str:
    """p50/p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    return f"{cuts[49] * 1000:.0f}/{cuts[98] * 1000:.0f}"


async def many(number: int, work: Callable[[int], Awaitable[None]], what: str) -> None:
    """Do it `number` times, a few side by side."""
    limiter = trio.CapacityLimiter(AT_ONCE)
    took: list[float] = []

    async def one(at: int) -> None:
        async with limiter:
            began = time.monotonic()
            await work(at)
            took.append(time.monotonic() - began)

    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        for at in range(number):
            nursery.start_soon(one, at)
    seconds = time.monotonic() - began
    print(f"{number} {what} in {seconds:.1f} s, {AT_ONCE} at once; p50/p99 of one {spread(took)} ms")


# Any: a list call's request and answer differ by method.
async def lists(client: Client, name: str, method: Any, kind: Any, size: int, expected: int) -> None:
    """List everything in pages, and print the time of a page and of all."""
    token, seen, took = "", 0, []
    began = time.monotonic()
    while True:
        page_began = time.monotonic()
        page = await client.call(method, kind(max_entries=size, starting_token=token))
        took.append(time.monotonic() - page_began)
        seen += len(page.entries)
        if not (token := page.next_token):
            break
    assert seen == expected, f"{name} told of {seen}, and {expected} were made"
    total = (time.monotonic() - began) * 1000
    print(
        f"{name:<17} pages of at most {size:>3}: {len(took):>3} pages, p50/p99 {spread(took)} ms, all in {total:.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
