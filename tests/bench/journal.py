"""How long a commit of the journal takes, with 1 and 32 writers, on this disk and on one whose fsync takes 2 ms longer.

    python tests/bench/journal.py [--seconds 3] [--slower-by 2.0]

Each figure is of whole operations' commits: intent, or result. Group commit is to keep 32 writers within three times
the latency of one: on an idle machine, for on a shared one the CPU's share (last column) is waited for many times over.
The slower disk takes a C compiler (`tests/journal/shims/slowsync.c`).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import trio

from rdscsi.journal import Journal, open_journal

SHIM = Path(__file__).parents[1] / "journal" / "shims" / "slowsync.c"
WRITERS = (1, 32)


async def measure(path: Path, writers: int, seconds: float) -> dict[str, float]:
    """Let so many writers open and finish operations; return what their commits took, in milliseconds."""
    took: list[float] = []

    async def write(journal: Journal, writer: int, until: float) -> None:
        for number in count():
            if time.perf_counter() > until:
                return
            began = time.perf_counter()
            async with journal.operation("create", f"v/{writer}.{number}", {"size": number}) as operation:
                took.append(time.perf_counter() - began)
                began = time.perf_counter()
                await operation.finish()
                took.append(time.perf_counter() - began)

    spent = time.process_time()
    async with open_journal(path) as journal:
        async with trio.open_nursery() as nursery:
            until = time.perf_counter() + seconds
            for writer in range(writers):
                nursery.start_soon(write, journal, writer, until)
        done = journal.statistics()
    quantiles = statistics.quantiles(took, n=100)
    return {
        "p50": quantiles[49] * 1000,
        "p99": quantiles[98] * 1000,
        "per_second": len(took) / seconds,
        "items_per_commit": done.items / done.commits,
        "cpu_ms": (time.process_time() - spent) / len(took) * 1000,
    }


def run_one(seconds: float) -> None:
    """Measure in this process and print the figures as JSON."""
    figures = {}
    for writers in WRITERS:
        with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
            figures[writers] = trio.run(measure, Path(directory) / "journal.db", writers, seconds)
    print(json.dumps(figures))


def figures_of(seconds: float, slower_by: float, shim: Path | None) -> dict[str, dict[str, float]]:
    """Measure in a process of its own, under the shim when there is one."""
    environment = dict(os.environ)
    if shim is not None:
        environment |= {"LD_PRELOAD": str(shim), "RDSCSI_SYNC_MICROSECONDS": str(round(slower_by * 1000))}
    command = [sys.executable, __file__, "--here", "--seconds", str(seconds)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured: dict[str, dict[str, float]] = json.loads(ended.stdout)
    return measured


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    print(
        f"{title}\n  {'writers':>7} {'p50 ms':>8} {'p99 ms':>8} {'commits/s':>10} {'items per fsync':>16} "
        f"{'CPU ms each':>12}"
    )
    for writers, one in figures.items():
        print(
            f"  {writers:>7} {one['p50']:>8.2f} {one['p99']:>8.2f} {one['per_second']:>10.0f} "
            f"{one['items_per_commit']:>16.1f} {one['cpu_ms']:>12.2f}"
        )
    ratio = figures["32"]["p50"] / figures["1"]["p50"]
    print(f"  32 writers take {ratio:.1f} times as long as one (aim: at most 3)")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the journal's commits.")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run (default: 3)")
    parser.add_argument("--slower-by", type=float, default=2.0, help="milliseconds added to fsync (default: 2)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        run_one(args.seconds)
        return
    show("this disk", figures_of(args.seconds, 0.0, None))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: the slower disk is left out")
        return
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        shim = Path(directory) / "slowsync.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, SHIM], check=True)
        show(f"fsync slower by {args.slower_by:g} ms", figures_of(args.seconds, args.slower_by, shim))


if __name__ == "__main__":
    main()
