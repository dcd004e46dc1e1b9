"""A pool that fills up under snapshots, on a real Btrfs: new ones are refused in time, and writers never notice.

The simulated RDS keeps its files on a Btrfs of its own in a loop device, where snapshots share and diverge for real;
the volume is attached through another one. At an overcommit of 1 everything that is promised may be written anew.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from sandbox_rig import Cluster, capability, sandbox

from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import MIB
from rdscsi.sandbox.client import CallFailed, open_client
from rdscsi.testing.host import require_loop_devices

pytestmark = [pytest.mark.root, pytest.mark.slow]

IMAGE, POOL, RESERVE, SIZE = 1152 * MIB, 1024 * MIB, 256 * MIB, 192 * MIB
FIT = 3
"""Snapshots beside the volume: (1024 - 256) / 192 - 1."""
PIECE = 4 * MIB
SECONDS = 300.0


@contextmanager
def btrfs(directory: Path) -> Iterator[Path]:
    """Mount a fresh Btrfs. Skips the test where the kernel or mkfs.btrfs does not know it."""
    if shutil.which("mkfs.btrfs") is None or "btrfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("no Btrfs here: no mkfs.btrfs, or a kernel without it")
    image, place = directory / "pool.img", directory / "pool"
    with image.open("xb") as file:
        file.truncate(IMAGE)
    place.mkdir()
    subprocess.run(["mkfs.btrfs", "-q", "-m", "single", image], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def rewrite(device: Path) -> str:
    """Write all of the device anew, on to the disk; the SHA-256. Raises OSError where the pool has no room left."""
    digest = hashlib.sha256()
    with device.open("r+b") as file:
        for _ in range(SIZE // PIECE):
            content = os.urandom(PIECE)
            digest.update(content)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read_back(device: Path) -> str:
    """Read all of it from the disk, not from the page cache; the SHA-256."""
    digest = hashlib.sha256()
    with device.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, SIZE, os.POSIX_FADV_DONTNEED)
        for _ in range(SIZE // PIECE):
            digest.update(file.read(PIECE))
    return digest.hexdigest()


@pytest.mark.timeout(600)
def test_snapshots_are_refused_in_time_and_writers_never_see_a_full_pool() -> None:
    require_loop_devices()
    with tempfile.TemporaryDirectory(prefix="rdscsi-filling-") as scratch:
        directory = Path(scratch)
        arguments = ("--host-backend", "loop", "--pool-size", str(POOL), "--set", f"reserve-bytes={RESERVE}")
        with btrfs(directory) as place, sandbox(directory, place / "state", *arguments) as endpoint:
            trio.run(_fill, endpoint, directory)


async def _fill(endpoint: str, directory: Path) -> None:
    with trio.fail_after(SECONDS):
        async with open_loop(), open_client(endpoint) as client:
            node = await client.settle(client.node.node_get_info, pb.NodeGetInfoRequest())
            await _filled(Cluster(client, directory, node.node_id, capability("block")))


async def _filled(cluster: Cluster) -> None:
    client = cluster.client
    volume = await cluster.create("pvc-1", SIZE)
    taken: dict[str, str] = {}
    async with cluster.mounted(volume) as device:
        while True:
            written = await trio.to_thread.run_sync(rewrite, device)
            try:
                snapshot = await cluster.snapshot(f"snap-{len(taken)}", volume)
            except CallFailed as error:
                refusal = error
                break
            taken[snapshot] = written
        assert (refusal.code, len(taken)) == ("RESOURCE_EXHAUSTED", FIT)
        assert str(SIZE) in refusal.message
        # Everything differs from every snapshot by now, and still all of it can be written again.
        for _ in range(2):
            written = await trio.to_thread.run_sync(rewrite, device)
            assert await trio.to_thread.run_sync(read_back, device) == written
        capacity = await client.settle(client.controller.get_capacity, pb.GetCapacityRequest())
        assert capacity.available_capacity < SIZE
        oldest = next(iter(taken))
        newest = list(taken)[-1]
        await client.settle(client.controller.delete_snapshot, pb.DeleteSnapshotRequest(snapshot_id=oldest))
        source = pb.VolumeContentSource(snapshot=pb.VolumeContentSourceSnapshotSource(snapshot_id=newest))
        restored = await cluster.create("pvc-2", SIZE, source)
        async with cluster.mounted(restored) as other:
            assert await trio.to_thread.run_sync(read_back, other) == taken[newest]
            await trio.to_thread.run_sync(rewrite, other)
        assert await trio.to_thread.run_sync(read_back, device) == written
    for one in (restored, volume):
        await cluster.delete(one)
    for snapshot in list(taken)[1:]:
        await client.settle(client.controller.delete_snapshot, pb.DeleteSnapshotRequest(snapshot_id=snapshot))
