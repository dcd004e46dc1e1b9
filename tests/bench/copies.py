"""Measures CreateSnapshot and a clone against the size of their source, on a Btrfs of its own in a loop device.

    python tests/bench/copies.py [--rounds 10] [--sizes 64,512,4096]          needs root and mkfs.btrfs

The sources are full of data, so that whatever copied them would take as long as writing them, which is told beside.
Prints figures; nothing here passes or fails. Compare figures of one run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import MIB
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import Client, open_client
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import CONTROLLER, open_sandbox

PIECE = 8 * MIB


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure snapshots and clones against the size of their source.")
    parser.add_argument("--rounds", type=int, default=10, help="of each call at each size (default: 10)")
    parser.add_argument("--sizes", default="64,512,4096", help="in MiB (default: %(default)s)")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-", dir="/var/tmp") as name:
        directory = Path(name)
        with btrfs(directory, 2 * sum(sizes) + 4096) as place:
            options = Options(
                state_dir=place / "state",
                endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
                controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
                overrides={"log-level": "warning"},
            )
            trio.run(measure, options, sizes, arguments.rounds)
    return 0


@contextmanager
def btrfs(directory: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a fresh Btrfs of this size, which takes room as it is written to."""
    image, place = directory / "pool.img", directory / "pool"
    image.touch()
    os.truncate(image, mebibytes * MIB)
    place.mkdir()
    subprocess.run(["mkfs.btrfs", "-q", "-m", "single", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


async def measure(options: Options, sizes: list[int], rounds: int) -> None:
    async with (
        open_loop(),
        open_sandbox(options, tell=print) as world,
        open_client(world.record.endpoints[CONTROLLER]) as client,
    ):
        print(f"{'source':>21} {'written in':>12} {'snapshot':>10} {'clone':>10} {'restore':>10}  median ms")
        for size in sizes:
            await measured(client, options.state_dir, size * MIB, rounds)


async def measured(client: Client, state: Path, size: int, rounds: int) -> None:
    """Take snapshots and make clones of one full volume, one after the other; delete all of them."""
    name = f"pvc-{size}"
    made = await client.settle(client.controller.create_volume, calls.create(name, size, calls.block()))
    assert made.volume is not None
    source = made.volume.volume_id
    wrote = await trio.to_thread.run_sync(fill, backing_file(state, source), size)
    snapshots: list[str] = []
    volumes = [source]

    async def snapshot(number: int) -> None:
        request = pb.CreateSnapshotRequest(name=f"{name}-s{number}", source_volume_id=source)
        taken = await client.settle(client.controller.create_snapshot, request)
        assert taken.snapshot is not None
        snapshots.append(taken.snapshot.snapshot_id)

    async def copy(new: str, of: pb.VolumeContentSource) -> None:
        request = calls.create(new, size, calls.block())
        request.volume_content_source = of
        copied = await client.settle(client.controller.create_volume, request)
        assert copied.volume is not None
        volumes.append(copied.volume.volume_id)

    async def clone(number: int) -> None:
        of = pb.VolumeContentSourceVolumeSource(volume_id=source)
        await copy(f"{name}-c{number}", pb.VolumeContentSource(volume=of))

    async def restore(number: int) -> None:
        of = pb.VolumeContentSourceSnapshotSource(snapshot_id=snapshots[number])
        await copy(f"{name}-r{number}", pb.VolumeContentSource(snapshot=of))

    took = [await timed(work, rounds) for work in (snapshot, clone, restore)]
    print(f"{size // MIB:>17} MiB {wrote:>10.2f} s " + " ".join(f"{one * 1000:>10.1f}" for one in took))
    for volume_id in reversed(volumes):
        await client.settle(client.controller.delete_volume, pb.DeleteVolumeRequest(volume_id=volume_id))
    for snapshot_id in snapshots:
        await client.settle(client.controller.delete_snapshot, pb.DeleteSnapshotRequest(snapshot_id=snapshot_id))


def backing_file(state: Path, volume_id: str) -> Path:
    """Where the simulated RDS keeps the content of a volume."""
    slot = volume_id.partition("/")[2]
    [found] = [path for path in state.rglob("*.img") if slot in str(path) and path.is_file()]
    return found


def fill(file: Path, size: int) -> float:
    """Write all of it, down to the disk; the seconds that took."""
    began = time.monotonic()
    with file.open("r+b") as writing:
        for _ in range(size // PIECE):
            writing.write(os.urandom(PIECE))
        writing.flush()
        os.fsync(writing.fileno())
    return time.monotonic() - began


async def timed(work: Callable[[int], Awaitable[None]], rounds: int) -> float:
    """The median seconds of one of so many calls."""
    took = []
    for number in range(rounds):
        began = time.monotonic()
        await work(number)
        took.append(time.monotonic() - began)
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(main())
