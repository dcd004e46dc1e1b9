"""Answers: from the model to the wire. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import (
    Capacity,
    ContentSource,
    Expansion,
    HealthStatus,
    Snapshot,
    SnapshotPage,
    StorageProblem,
    StorageStatus,
    Usage,
    Volume,
    VolumeHealth,
    VolumeHealthPage,
    VolumePage,
    VolumeStats,
)

_HEALTH = {status: pb.VolumeHealthErrorType[status.value] for status in HealthStatus}
_STORAGE = {status: pb.StorageHealthErrorType[status.value] for status in StorageStatus}
_UNITS = {"bytes": pb.VolumeUsageUnit.BYTES, "inodes": pb.VolumeUsageUnit.INODES}


def create_volume(volume: Volume, accessible: Sequence[pb.Topology] = ()) -> pb.CreateVolumeResponse:
    """Answer CreateVolume; `accessible` says from where, if that is told at all."""
    answer = _volume(volume)
    answer.accessible_topology = list(accessible)
    return pb.CreateVolumeResponse(volume=answer)


def publish_volume(context: Mapping[str, str]) -> pb.ControllerPublishVolumeResponse:
    """Answer ControllerPublishVolume."""
    return pb.ControllerPublishVolumeResponse(publish_context=dict(context))


def confirmed(asked: pb.ValidateVolumeCapabilitiesRequest) -> pb.ValidateVolumeCapabilitiesResponse:
    """Confirm capabilities: the answer repeats what it confirms, as it was asked."""
    return pb.ValidateVolumeCapabilitiesResponse(
        confirmed=pb.ValidateVolumeCapabilitiesResponseConfirmed(
            volume_context=asked.volume_context,
            volume_capabilities=asked.volume_capabilities,
            parameters=asked.parameters,
        )
    )


def not_confirmed(reason: str) -> pb.ValidateVolumeCapabilitiesResponse:
    """Decline capabilities, which is an answer and not an error."""
    return pb.ValidateVolumeCapabilitiesResponse(message=reason)


def list_volumes(page: VolumePage) -> pb.ListVolumesResponse:
    """Answer ListVolumes."""
    return pb.ListVolumesResponse(entries=[_entry(one) for one in page.volumes], next_token=page.next_token)


def get_volume(volume: Volume) -> pb.ControllerGetVolumeResponse:
    """Answer ControllerGetVolume. The condition has no place in it since v1.13.0 of the specification."""
    return pb.ControllerGetVolumeResponse(
        volume=_volume(volume),
        status=pb.ControllerGetVolumeResponseVolumeStatus(published_node_ids=list(volume.published_node_ids)),
    )


def get_volume_health(health: VolumeHealth) -> pb.ControllerGetVolumeHealthResponse:
    """Answer ControllerGetVolumeHealth."""
    return pb.ControllerGetVolumeHealthResponse(volume_health=volume_health(health))


def list_volume_health(page: VolumeHealthPage) -> pb.ControllerListVolumeHealthResponse:
    """Answer ControllerListVolumeHealth."""
    return pb.ControllerListVolumeHealthResponse(
        entries=[volume_health(one) for one in page.entries], next_token=page.next_token
    )


def volume_health(health: VolumeHealth) -> pb.VolumeHealth:
    """Return what the health calls of both halves tell of one volume."""
    entries = [
        pb.VolumeHealthVolumeHealthEntry(status=_HEALTH[one.status], reason=one.reason, message=one.message)
        for one in health.problems
    ]
    return pb.VolumeHealth(volume_id=health.volume_id, health_statuses=entries)


def get_capacity(capacity: Capacity) -> pb.GetCapacityResponse:
    """Answer GetCapacity."""
    return pb.GetCapacityResponse(
        available_capacity=capacity.available_bytes,
        maximum_volume_size=capacity.maximum_volume_bytes,
        minimum_volume_size=capacity.minimum_volume_bytes,
    )


def expand_volume(expansion: Expansion) -> pb.ControllerExpandVolumeResponse:
    """Answer ControllerExpandVolume."""
    return pb.ControllerExpandVolumeResponse(
        capacity_bytes=expansion.capacity_bytes, node_expansion_required=expansion.node_expansion_required
    )


def create_snapshot(snapshot: Snapshot) -> pb.CreateSnapshotResponse:
    """Answer CreateSnapshot."""
    return pb.CreateSnapshotResponse(snapshot=_snapshot(snapshot))


def list_snapshots(page: SnapshotPage) -> pb.ListSnapshotsResponse:
    """Answer ListSnapshots."""
    entries = [pb.ListSnapshotsResponseEntry(snapshot=_snapshot(one)) for one in page.snapshots]
    return pb.ListSnapshotsResponse(entries=entries, next_token=page.next_token)


def get_snapshot(snapshot: Snapshot) -> pb.GetSnapshotResponse:
    """Answer GetSnapshot."""
    return pb.GetSnapshotResponse(snapshot=_snapshot(snapshot))


def volume_stats(stats: VolumeStats) -> pb.NodeGetVolumeStatsResponse:
    """Answer NodeGetVolumeStats."""
    return pb.NodeGetVolumeStatsResponse(usage=[_usage(one) for one in stats.usage])


def node_volume_health(health: VolumeHealth) -> pb.NodeGetVolumeHealthResponse:
    """Answer NodeGetVolumeHealth."""
    return pb.NodeGetVolumeHealthResponse(volume_health=volume_health(health))


def storage_health(problems: Iterable[StorageProblem]) -> pb.NodeGetStorageHealthResponse:
    """Answer NodeGetStorageHealth. Each of these concerns volumes of every capability."""
    entries = [
        pb.NodeGetStorageHealthResponseStorageBackendHealth(
            status=_STORAGE[one.status], reason=one.reason, message=one.message
        )
        for one in problems
    ]
    return pb.NodeGetStorageHealthResponse(backend_health=entries)


def controller_capabilities(
    types: Iterable[pb.ControllerServiceCapabilityRpcType],
) -> pb.ControllerGetCapabilitiesResponse:
    """Answer ControllerGetCapabilities."""
    return pb.ControllerGetCapabilitiesResponse(
        capabilities=[pb.ControllerServiceCapability(rpc=pb.ControllerServiceCapabilityRpc(type=one)) for one in types]
    )


def node_capabilities(types: Iterable[pb.NodeServiceCapabilityRpcType]) -> pb.NodeGetCapabilitiesResponse:
    """Answer NodeGetCapabilities."""
    return pb.NodeGetCapabilitiesResponse(
        capabilities=[pb.NodeServiceCapability(rpc=pb.NodeServiceCapabilityRpc(type=one)) for one in types]
    )


def _volume(volume: Volume) -> pb.Volume:
    return pb.Volume(
        volume_id=volume.volume_id,
        capacity_bytes=volume.capacity_bytes,
        volume_context=dict(volume.volume_context),
        content_source=_content_source(volume.source) if volume.source is not None else None,
    )


def _content_source(source: ContentSource) -> pb.VolumeContentSource:
    if source.snapshot_id:
        return pb.VolumeContentSource(snapshot=pb.VolumeContentSourceSnapshotSource(snapshot_id=source.snapshot_id))
    return pb.VolumeContentSource(volume=pb.VolumeContentSourceVolumeSource(volume_id=source.volume_id))


def _snapshot(snapshot: Snapshot) -> pb.Snapshot:
    return pb.Snapshot(
        snapshot_id=snapshot.snapshot_id,
        source_volume_id=snapshot.source_volume_id,
        size_bytes=snapshot.size_bytes,
        creation_time=datetime.fromtimestamp(snapshot.created_at, UTC),
        ready_to_use=snapshot.ready,
    )


def _entry(volume: Volume) -> pb.ListVolumesResponseEntry:
    nodes = list(volume.published_node_ids)
    return pb.ListVolumesResponseEntry(
        volume=_volume(volume), status=pb.ListVolumesResponseVolumeStatus(published_node_ids=nodes)
    )


def _usage(usage: Usage) -> pb.VolumeUsage:
    return pb.VolumeUsage(unit=_UNITS[usage.unit], total=usage.total, available=usage.available, used=usage.used)
