"""What tests of snapshots ask for and look at."""

from dataclasses import replace

from rdscsi.journal import SnapshotRecord
from rdscsi.model import MIB, ContentSource, Snapshot, SnapshotRequest, Volume, VolumeRequest
from rdscsi.simulator import Appliance
from rdscsi.testing.orchestrator import wish
from rdscsi.testing.world import Process


def leaves(appliance: Appliance) -> list[str]:
    """The subvolumes, without the one that holds them."""
    return sorted(one.name for one in appliance.storage.subvolumes if "/" in one.fullname)


async def snapshot_record(process: Process, snapshot_id: str) -> SnapshotRecord:
    record = await process.journal.snapshot(snapshot_id)
    assert record is not None
    return record


def restored(name: str, source: ContentSource, size: int = 0, *, limit: int = 0) -> VolumeRequest:
    return replace(wish(name, size, limit_bytes=limit), source=source)


async def taken(process: Process) -> tuple[Volume, Snapshot]:
    """A volume, and a snapshot of it by the name of snap-1."""
    volume = await process.controller.create_volume(wish("pvc-1", 64 * MIB))
    return volume, await process.controller.create_snapshot(SnapshotRequest("snap-1", volume.volume_id))
