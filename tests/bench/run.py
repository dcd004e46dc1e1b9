"""Measures the driver on a sandbox and prints figures; nothing here passes or fails.

    python tests/bench/run.py [--quick]

Machines differ and are shared: compare figures of one run, as ratios. The figures of the original Go driver beside
ours were measured against its own mock on two cores of another machine, with as many SSH sessions as calls.
"""

import argparse
import contextlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi.v1 import DeleteVolumeRequest, ProbeRequest
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import open_client
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import CONTROLLER, NODE, Sandbox, open_sandbox

MIB = 1 << 20
CONCURRENCY = (1, 8, 32)
ORIGINAL: dict[tuple[str, int], float] = {("none", 1): 21807, ("none", 8): 32920, ("none", 32): 32808}
ORIGINAL |= {("realistic", 1): 42.8, ("realistic", 8): 334, ("realistic", 32): 1324}


@dataclass(frozen=True, slots=True)
class Cycles:
    """Create + delete cycles: how many a minute, and the seconds of single calls."""

    per_minute: float
    create: list[float]
    delete: list[float]
    lines: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the driver on a sandbox.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: less than a minute, rougher figures")
    quick = parser.parse_args().quick
    print(f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}")
    print_start()
    trio.run(measure, quick)
    return 0


def print_start() -> None:
    """Import time: a new interpreter, bytecode cached, best of five."""
    for name in ("rdscsi.controller.opening, rdscsi.csi.server", "rdscsi.node.node, rdscsi.csi.server"):
        took = min(timed_process("-c", f"import {name}, rdscsi.app") for _ in range(5))
        bare = min(timed_process("-c", "pass") for _ in range(5))
        print(
            f"import {name.partition(',')[0]:<28} {(took - bare) * 1000:6.0f} ms"
            f" (the interpreter alone {bare * 1000:.0f} ms)"
        )


def timed_process(*arguments: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True)
    return time.monotonic() - began


async def measure(quick: bool) -> None:
    async with open_loop():
        async with sandbox("none") as world:
            await measure_memory(world, 50 if quick else 500)
            await measure_probes(world, 200 if quick else 2000)
        print(
            f"\ncreate + delete cycles a minute {'':>21}ours   original     create p50/p99   delete p50/p99 ms"
            "  lines/cycle"
        )
        for latency, connections in (("none", 4), ("realistic", 4), ("realistic", 16)):
            for concurrency in CONCURRENCY:
                rounds = (4 if quick else 20) if latency == "realistic" else (10 if quick else 60)
                async with sandbox(latency, connections) as world:
                    print_cycles(latency, connections, concurrency, await cycle(world, concurrency, rounds))


@contextlib.asynccontextmanager
async def sandbox(latency: str, connections: int = 4) -> AsyncIterator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        options = Options(
            state_dir=Path(directory) / "state",
            endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
            controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
            latency=latency,
            console_log=True,
            overrides={"rds-connections": str(connections), "log-level": "warning"},
        )
        began = time.monotonic()
        async with open_sandbox(options, tell=print) as world:
            if latency == "none":
                print(f"start of simulator, controller and node until usable {time.monotonic() - began:6.2f} s")
            yield world


async def measure_memory(world: Sandbox, volumes: int) -> None:
    idle = {name: resident(world.processes[name].pid) for name in (CONTROLLER, NODE)}
    async with open_client(world.record.endpoints[CONTROLLER]) as client:
        for number in range(volumes):
            await client.settle(
                client.controller.create_volume, calls.create(f"kept-{number}", MIB, calls.filesystem())
            )
    for name, before in idle.items():
        after = resident(world.processes[name].pid)
        print(f"RSS of the {name:<10} idle {before:5.1f} MiB, after {volumes} volumes {after:5.1f} MiB")


def resident(pid: int) -> float:
    """Resident memory of a process in MiB (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


async def measure_probes(world: Sandbox, count: int) -> None:
    async with open_client(world.record.endpoints[CONTROLLER]) as client:
        await client.call(client.identity.probe, ProbeRequest())
        began = time.monotonic()
        for _ in range(count):
            await client.call(client.identity.probe, ProbeRequest())
        print(f"Probe calls a second, one after the other {count / (time.monotonic() - began):8.0f}")


async def cycle(world: Sandbox, concurrency: int, rounds: int) -> Cycles:
    """Let so many callers make and delete volumes side by side, each `rounds` times."""
    creates: list[float] = []
    deletes: list[float] = []
    lines = console_lines(world)
    async with open_client(world.record.endpoints[CONTROLLER]) as client:

        async def caller(number: int) -> None:
            for turn in range(rounds):
                with timed(creates):
                    made = await client.settle(
                        client.controller.create_volume, calls.create(f"pvc-{number}-{turn}", MIB, calls.filesystem())
                    )
                assert made.volume is not None
                with timed(deletes):
                    await client.settle(
                        client.controller.delete_volume, DeleteVolumeRequest(volume_id=made.volume.volume_id)
                    )

        before, began = next(lines), time.monotonic()
        async with trio.open_nursery() as nursery:
            for number in range(concurrency):
                nursery.start_soon(caller, number)
        seconds = time.monotonic() - began
    return Cycles(60 * len(deletes) / seconds, creates, deletes, (next(lines) - before) / len(deletes))


def console_lines(world: Sandbox) -> Iterator[int]:
    """Count the lines that the simulated appliance has answered, by its own log."""
    log = world.layout.console_log
    while True:
        yield log.read_bytes().count(b"\n") if log.exists() else 0


@contextlib.contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds.append(time.monotonic() - began)


def print_cycles(latency: str, connections: int, concurrency: int, measured: Cycles) -> None:
    where = "0 ms" if latency == "none" else "200 ± 50 ms"
    heading = f"{where}, {connections} connections, {concurrency} callers"
    original = ORIGINAL[latency, concurrency]
    print(
        f"  {heading:<44} {measured.per_minute:10.0f} {original:10.0f}     "
        f"{spread(measured.create):>14}   {spread(measured.delete):>14}    {measured.lines:9.2f}"
    )


def spread(seconds: list[float]) -> str:
    """p50/p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    return f"{cuts[49] * 1000:.0f}/{cuts[98] * 1000:.0f}"


if __name__ == "__main__":
    sys.exit(main())
