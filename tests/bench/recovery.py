"""How long a controller's start takes to settle operations that an earlier one has left open, on a 0 ms appliance.

    python tests/bench/recovery.py [--count 1000] [--fast]

A life of the controller makes volumes, then leaves a delete of each open; the next life is timed from its start to the
moment at which nothing is open. Times are real. The flush delay is 0, so that what is measured is the driver's work:
with a real one, a start waits for it once. `--fast`: the fast model of the appliance in place of the simulated RDS,
whose console interpreter takes most of the time.
"""

import argparse
import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import trio

from rdscsi.controller import deletion
from rdscsi.errors import OperationPending
from rdscsi.journal import Journal, VolumeRecord, changes
from rdscsi.observe import logs
from rdscsi.testing.orchestrator import wish
from rdscsi.testing.world import OPTIONS, SETTINGS, Process, open_world

AT_ONCE = 16
AIM_SECONDS = 5.0


async def measure(count: int, *, fast: bool) -> tuple[float, float, int]:
    """Return how many seconds the second life needed, how many of the CPU, and how many console lines."""
    options = replace(OPTIONS, flush_delay=0.0, retry_every=0.2)
    settings = replace(SETTINGS, flush_delay=0.0, longest_statement=1.0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        async with open_world(Path(directory), options=options, settings=settings, fast=fast) as world:
            async with world.process() as process:
                await _make(process, count)
                for record in await process.journal.volumes():
                    await _leave_open(process.journal, record)
                world.crash()
            lines, began, spent = world.machine.lines, time.perf_counter(), time.process_time()
            async with world.process(ready=False) as process:
                while await process.journal.open_operations():
                    await trio.sleep(0.25)
                took, cpu = time.perf_counter() - began, time.process_time() - spent
                assert await process.journal.volumes() == []
            return took, cpu, world.machine.lines - lines


async def _make(process: Process, count: int) -> None:
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def make(number: int) -> None:
        async with limiter:
            await process.controller.create_volume(wish(f"pvc-{number}"))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(make, number)


async def _leave_open(journal: Journal, record: VolumeRecord) -> None:
    doomed = changes.put_volume(replace(record, state="deleting"))
    request = {"backing": record.backing}
    with contextlib.suppress(OperationPending):
        async with journal.operation(deletion.KIND, record.volume_id, request, changes=[doomed]):
            raise RuntimeError("the process dies here")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure recovery.")
    parser.add_argument("--count", type=int, default=1000, help="open operations (default: 1000)")
    parser.add_argument("--fast", action="store_true", help="use the fast model of the appliance")
    args = parser.parse_args()
    logs.configure("error")
    took, cpu, lines = trio.run(lambda: measure(args.count, fast=args.fast))
    appliance = "fast model" if args.fast else "simulated RDS"
    print(
        f"{args.count} open operations, {appliance}: settled in {took:.2f} s ({cpu:.2f} s of CPU), "
        f"{lines} console lines (aim: 1000 in {AIM_SECONDS:g} s, on an idle machine)"
    )


if __name__ == "__main__":
    main()
