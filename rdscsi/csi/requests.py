"""Requests to the controller half: from the wire to the model, every field checked against the specification. Pure.

All raise InvalidRequest (CapacityOutOfRange for bounds that contradict each other). A volume id of any form passes
here: whether it can be one of ours is the controller's to say, since for some calls an unknown id is a success.
Secrets are never looked at: this driver has none in its requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rdscsi import tuning
from rdscsi.csi import capabilities, checks, parameters
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.errors import InvalidRequest, InvalidToken
from rdscsi.model import (
    CapacityRange,
    ContentSource,
    PublishRequest,
    SnapshotQuery,
    SnapshotRequest,
    VolumeCapability,
    VolumeRequest,
)


def volume_id(value: str) -> str:
    """Check the presence and size of a volume id."""
    return checks.required_text("volume_id", value)


def create_volume(message: pb.CreateVolumeRequest) -> VolumeRequest:
    """Read CreateVolume. Accessibility requirements are for drivers with topology; here each volume is everywhere."""
    name = checks.required_text("name", message.name)
    wanted = capabilities.parse_all("volume_capabilities", message.volume_capabilities)
    capabilities.served_all("volume_capabilities", message.volume_capabilities)
    source = None if message.volume_content_source is None else _content_source(message.volume_content_source)
    _no_mutable_parameters(message.mutable_parameters)
    own = parameters.parse("parameters", message.parameters)
    tuning.check_filesystems("parameters", tuning.parse("parameters", own), wanted)
    bounds = _optional_range(message.capacity_range)
    return VolumeRequest(name, bounds, wanted, own, source, claim=parameters.claim(message.parameters))


def _content_source(message: pb.VolumeContentSource) -> ContentSource:
    field = "volume_content_source"
    if message.snapshot is not None:
        return ContentSource(snapshot_id=checks.required_text(f"{field}.snapshot_id", message.snapshot.snapshot_id))
    if message.volume is not None:
        return ContentSource(volume_id=checks.required_text(f"{field}.volume_id", message.volume.volume_id))
    raise InvalidRequest(field, "", "a snapshot or a volume")


def publish_volume(message: pb.ControllerPublishVolumeRequest) -> PublishRequest:
    """Read ControllerPublishVolume."""
    volume = volume_id(message.volume_id)
    node = checks.required_text("node_id", message.node_id, limit=checks.LONGEST_NODE_ID)
    capability = capabilities.served("volume_capability", message.volume_capability)
    parameters.context("volume_context", message.volume_context)
    return PublishRequest(volume, node, capability, message.readonly)


def unpublish_volume(message: pb.ControllerUnpublishVolumeRequest) -> tuple[str, str]:
    """Read ControllerUnpublishVolume: volume id and node id, the latter empty for all nodes."""
    node = checks.optional_text("node_id", message.node_id, limit=checks.LONGEST_NODE_ID)
    return volume_id(message.volume_id), node


@dataclass(frozen=True, slots=True)
class Validation:
    """What ValidateVolumeCapabilities asks; `unserved` says why no volume of this driver could, or is empty."""

    volume_id: str
    capabilities: tuple[VolumeCapability, ...]
    parameters: Mapping[str, str]
    unserved: str


def validate_capabilities(message: pb.ValidateVolumeCapabilitiesRequest) -> Validation:
    """Read ValidateVolumeCapabilities. A capability that is not served is an answer here, not an error."""
    volume = volume_id(message.volume_id)
    asked = capabilities.parse_all("volume_capabilities", message.volume_capabilities)
    _no_mutable_parameters(message.mutable_parameters)
    told = tuning.render(parameters.context("volume_context", message.volume_context))
    own = parameters.parse("parameters", message.parameters)
    reasons = [reason for one in asked if (reason := capabilities.unserved(one))]
    if told and own and told != tuning.render(tuning.parse("parameters", own)):
        reasons.append("the volume_context is not the one that CreateVolume answers for these parameters")
    return Validation(volume, asked, own, next(iter(reasons), ""))


def list_volumes(message: pb.ListVolumesRequest) -> tuple[int, str]:
    """Read ListVolumes: entries at most (0: as the driver likes) and token. Raises InvalidToken for a giant token."""
    return checks.count("max_entries", message.max_entries), _token(message.starting_token)


def list_volume_health(message: pb.ControllerListVolumeHealthRequest) -> tuple[int, str]:
    """Read ControllerListVolumeHealth, as ListVolumes."""
    return checks.count("max_entries", message.max_entries), _token(message.starting_token)


def snapshot_id(value: str) -> str:
    """Read a snapshot id, whoever made it."""
    return checks.required_text("snapshot_id", value)


def create_snapshot(message: pb.CreateSnapshotRequest) -> SnapshotRequest:
    """Read CreateSnapshot. Topology requirements are for drivers with topology."""
    name = checks.required_text("name", message.name)
    source = checks.required_text("source_volume_id", message.source_volume_id)
    return SnapshotRequest(name, source, parameters.parse("parameters", message.parameters, parameters.SNAPSHOT))


def list_snapshots(message: pb.ListSnapshotsRequest) -> SnapshotQuery:
    """Read ListSnapshots. Raises InvalidToken for a giant token."""
    return SnapshotQuery(
        max_entries=checks.count("max_entries", message.max_entries),
        starting_token=_token(message.starting_token),
        source_volume_id=checks.optional_text("source_volume_id", message.source_volume_id),
        snapshot_id=checks.optional_text("snapshot_id", message.snapshot_id),
    )


def _token(value: str) -> str:
    if len(value.encode()) > checks.LONGEST_TEXT:
        raise InvalidToken(f"starting_token={checks.shortened(value)!r}: not one of this driver's")
    return value


def get_capacity(message: pb.GetCapacityRequest) -> tuple[dict[str, str], tuple[VolumeCapability, ...]]:
    """Read GetCapacity: the driver's own parameters and the capabilities, both possibly empty."""
    own = parameters.parse("parameters", message.parameters)
    return own, capabilities.served_all("volume_capabilities", message.volume_capabilities)


def expand_volume(
    message: pb.ControllerExpandVolumeRequest,
) -> tuple[str, CapacityRange, VolumeCapability | None]:
    """Read ControllerExpandVolume: volume id, range, and the capability where the caller knows it."""
    volume = volume_id(message.volume_id)
    if message.capacity_range is None:
        raise InvalidRequest("capacity_range", "", "required")
    bounds = _optional_range(message.capacity_range)
    return volume, bounds, optional_capability(message.volume_capability)


def optional_capability(message: pb.VolumeCapability | None) -> VolumeCapability | None:
    """Read the capability of an expansion, which older orchestrators leave out."""
    return None if message is None else capabilities.served("volume_capability", message)


def _optional_range(message: pb.CapacityRange | None) -> CapacityRange:
    if message is None:
        return CapacityRange()
    return checks.capacity_range(message.required_bytes, message.limit_bytes)


def _no_mutable_parameters(given: Mapping[str, str]) -> None:
    if given:
        names = ", ".join(sorted(given))
        raise InvalidRequest("mutable_parameters", checks.shortened(names), "nothing: MODIFY_VOLUME is not served")
