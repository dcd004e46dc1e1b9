"""A sandbox in processes of its own, and what calls its driver as an orchestrator of one node does."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.sandbox.client import Client

MODE = pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER)


@contextmanager
def sandbox(directory: Path, state: Path, *arguments: str) -> Iterator[str]:
    """Run a sandbox with its socket in one directory and its state in another; it must leave nothing behind."""
    endpoint = f"unix://{directory / 'csi.sock'}"
    rdscsi = str(Path(sys.executable).with_name("rdscsi"))
    command = [rdscsi, "sandbox", "--endpoint", endpoint, "--state-dir", str(state), *arguments]
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


def capability(kind: str) -> pb.VolumeCapability:
    if kind == "block":
        return pb.VolumeCapability(block=pb.VolumeCapabilityBlockVolume(), access_mode=MODE)
    return pb.VolumeCapability(mount=pb.VolumeCapabilityMountVolume(fs_type=kind), access_mode=MODE)
