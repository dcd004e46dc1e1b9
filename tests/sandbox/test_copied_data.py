"""Real data through snapshot, restore and clone: a sandbox with loop devices and filesystems, by checksums."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import MIB
from rdscsi.sandbox.client import Client, open_client
from rdscsi.testing.host import require_loop_devices

pytestmark = [pytest.mark.root, pytest.mark.slow]

SIZE, LARGER = 384 * MIB, 640 * MIB
MODE = pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER)
SECONDS = 240.0


@contextmanager
def sandbox(directory: Path) -> Iterator[str]:
    """Run a sandbox; it must leave nothing behind."""
    endpoint = f"unix://{directory / 'csi.sock'}"
    rdscsi = str(Path(sys.executable).with_name("rdscsi"))
    command = [rdscsi, "sandbox", "--endpoint", endpoint, "--state-dir", str(directory / "state")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the sandbox did not start"
        yield endpoint
    finally:
        process.terminate()
        assert process.wait(timeout=120) == 0, "the sandbox left something behind"
        if process.stdout is not None:
            process.stdout.close()


@dataclass(slots=True)
class Cluster:
    """What calls the driver, as an orchestrator of one node does."""

    client: Client
    directory: Path
    node_id: str
    capability: pb.VolumeCapability

    async def create(self, name: str, size: int, source: pb.VolumeContentSource | None = None) -> pb.Volume:
        request = pb.CreateVolumeRequest(
            name=name,
            capacity_range=pb.CapacityRange(required_bytes=size),
            volume_capabilities=[self.capability],
            volume_content_source=source,
        )
        made = await self.client.settle(self.client.controller.create_volume, request)
        assert made.volume is not None
        assert made.volume.content_source == source
        return made.volume

    @asynccontextmanager
    async def mounted(self, volume: pb.Volume) -> AsyncIterator[Path]:
        """Attach and mount, or attach as a device, while the body runs."""
        client, capability = self.client, self.capability
        staging = self.directory / f"stage-{volume.volume_id[-12:]}"
        target = self.directory / f"target-{volume.volume_id[-12:]}"
        staging.mkdir(exist_ok=True)
        published = await client.settle(
            client.controller.controller_publish_volume,
            pb.ControllerPublishVolumeRequest(
                volume_id=volume.volume_id, node_id=self.node_id, volume_capability=capability
            ),
        )
        common = {
            "volume_id": volume.volume_id,
            "publish_context": dict(published.publish_context),
            "staging_target_path": str(staging),
            "volume_capability": capability,
        }
        await client.settle(client.node.node_stage_volume, pb.NodeStageVolumeRequest(**common))  # type: ignore[arg-type]
        publish = pb.NodePublishVolumeRequest(target_path=str(target), **common)  # type: ignore[arg-type]
        await client.settle(client.node.node_publish_volume, publish)
        yield target
        unpublish = pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(target))
        await client.settle(client.node.node_unpublish_volume, unpublish)
        unstage = pb.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(staging))
        await client.settle(client.node.node_unstage_volume, unstage)
        detach = pb.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id=self.node_id)
        await client.settle(client.controller.controller_unpublish_volume, detach)

    async def snapshot(self, name: str, volume: pb.Volume) -> str:
        request = pb.CreateSnapshotRequest(name=name, source_volume_id=volume.volume_id)
        made = await self.client.settle(self.client.controller.create_snapshot, request)
        assert made.snapshot is not None
        assert made.snapshot.ready_to_use
        assert made.snapshot.size_bytes == volume.capacity_bytes
        assert made.snapshot.creation_time is not None
        return made.snapshot.snapshot_id

    async def delete(self, volume: pb.Volume) -> None:
        request = pb.DeleteVolumeRequest(volume_id=volume.volume_id)
        await self.client.settle(self.client.controller.delete_volume, request)


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


def capability(kind: str) -> pb.VolumeCapability:
    if kind == "block":
        return pb.VolumeCapability(block=pb.VolumeCapabilityBlockVolume(), access_mode=MODE)
    return pb.VolumeCapability(mount=pb.VolumeCapabilityMountVolume(fs_type=kind), access_mode=MODE)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "block"])
def test_copies_hold_what_was_there_and_are_their_own(kind: str) -> None:
    require_loop_devices()
    with tempfile.TemporaryDirectory(prefix="rdscsi-copies-") as scratch, sandbox(Path(scratch)) as endpoint:
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
