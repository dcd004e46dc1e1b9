"""Real data through snapshot, restore and clone: a sandbox with loop devices and filesystems, by checksums."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
import trio
from sandbox_rig import Cluster, capability, sandbox

from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import MIB
from rdscsi.sandbox.client import open_client
from rdscsi.testing.host import require_loop_devices

pytestmark = [pytest.mark.root, pytest.mark.slow]

SIZE, LARGER = 384 * MIB, 640 * MIB
SECONDS = 240.0


def put(place: Path) -> str:
    """Write random bytes, synced to the device; their SHA-256."""
    content = os.urandom(8 * MIB)
    path = place / "data" if place.is_dir() else place
    with path.open("r+b" if path.exists() else "xb") as file:
        file.write(content)
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def found(place: Path) -> str:
    path = place / "data" if place.is_dir() else place
    with path.open("rb") as file:
        return hashlib.sha256(file.read(8 * MIB)).hexdigest()


def room(place: Path) -> int:
    if place.is_dir():
        shown = os.statvfs(place)
        return shown.f_blocks * shown.f_frsize
    with place.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def may_grow_ext4() -> bool:
    """Whether this process has CAP_SYS_RESOURCE, without which the kernel grows no mounted ext4 (capabilities(7))."""
    [effective] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")]
    return bool(int(effective.split()[1], 16) & (1 << 24))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "block"])
def test_copies_hold_what_was_there_and_are_their_own(kind: str) -> None:
    require_loop_devices()
    with (
        tempfile.TemporaryDirectory(prefix="rdscsi-copies-") as scratch,
        sandbox(Path(scratch), Path(scratch) / "state") as endpoint,
    ):
        trio.run(_copies, endpoint, Path(scratch), kind)


async def _copies(endpoint: str, directory: Path, kind: str) -> None:
    with trio.fail_after(SECONDS):
        async with open_loop(), open_client(endpoint) as client:
            node = await client.settle(client.node.node_get_info, pb.NodeGetInfoRequest())
            await _life(Cluster(client, directory, node.node_id, capability(kind)), kind)


async def _life(cluster: Cluster, kind: str) -> None:
    """Write, snapshot, write, clone, write, restore larger; the volume and its copies are mounted at once."""
    volume = await cluster.create("pvc-1", SIZE)
    async with cluster.mounted(volume) as place:
        first = put(place)
        snapshot = await cluster.snapshot("snap-1", volume)
        second = put(place)
        of_volume = pb.VolumeContentSource(volume=pb.VolumeContentSourceVolumeSource(volume_id=volume.volume_id))
        of_snapshot = pb.VolumeContentSource(snapshot=pb.VolumeContentSourceSnapshotSource(snapshot_id=snapshot))
        clone = await cluster.create("pvc-2", SIZE, of_volume)
        third = put(place)
        restored = await cluster.create("pvc-3", LARGER, of_snapshot)
        assert restored.capacity_bytes == LARGER
        async with cluster.mounted(clone) as cloned, cluster.mounted(restored) as old:
            assert [found(one) for one in (place, cloned, old)] == [third, second, first]
            assert room(old) > SIZE or (kind == "ext4" and not may_grow_ext4())
            fourth = put(cloned)
            assert found(place) == third
    await cluster.delete(volume)
    request = pb.DeleteSnapshotRequest(snapshot_id=snapshot)
    await cluster.client.settle(cluster.client.controller.delete_snapshot, request)
    async with cluster.mounted(clone) as cloned, cluster.mounted(restored) as old:
        assert [found(one) for one in (cloned, old)] == [fourth, first]
    await cluster.delete(restored)
    await cluster.delete(clone)
