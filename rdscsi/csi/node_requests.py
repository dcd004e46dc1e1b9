"""Requests to the node half: from the wire to the model, every field checked against the specification. Pure.

Raise InvalidRequest; NotFound where the specification wants to hear first that there is no such volume. What is
missing is said before what is malformed, so the publish_context is read last.
"""

from collections.abc import Mapping

from rdscsi import names, tuning
from rdscsi.csi import capabilities, checks, parameters
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.requests import optional_capability, volume_id
from rdscsi.errors import InvalidRequest, NotFound, NotPermittedNow
from rdscsi.model import CapacityRange, NodeExpandRequest, NodePublishRequest, PublishContext, StageRequest


def stage(message: pb.NodeStageVolumeRequest) -> StageRequest:
    """Read NodeStageVolume. Raises NotFound for an id that this driver cannot have handed out."""
    volume = volume_id(message.volume_id)
    path = checks.required_path("staging_target_path", message.staging_target_path)
    capability = capabilities.served("volume_capability", message.volume_capability)
    wanted = parameters.context("volume_context", message.volume_context)
    tuning.check_filesystems("volume_context", wanted, [capability] if capability.fs_type else [])
    _known_form(volume)
    return StageRequest(volume, path, capability, _publish_context(message.publish_context), wanted)


def unstage(message: pb.NodeUnstageVolumeRequest) -> tuple[str, str]:
    """Read NodeUnstageVolume: volume id and staging path."""
    path = checks.required_path("staging_target_path", message.staging_target_path)
    return volume_id(message.volume_id), path


def publish(message: pb.NodePublishVolumeRequest) -> NodePublishRequest:
    """Read NodePublishVolume. Raises NotFound as `stage` does, and NotPermittedNow without a staging path.

    The publish_context was used when the volume was staged and is not read again.
    """
    volume = volume_id(message.volume_id)
    target = checks.required_path("target_path", message.target_path)
    capability = capabilities.served("volume_capability", message.volume_capability)
    checks.small_map("publish_context", message.publish_context)
    parameters.context("volume_context", message.volume_context)
    if not message.staging_target_path:  # FAILED_PRECONDITION is the specification's word for this one
        raise NotPermittedNow("staging_target_path: required, this driver stages volumes (STAGE_UNSTAGE_VOLUME)")
    staging = checks.required_path("staging_target_path", message.staging_target_path)
    _known_form(volume)
    return NodePublishRequest(volume, staging, target, capability, message.readonly)


def unpublish(message: pb.NodeUnpublishVolumeRequest) -> tuple[str, str]:
    """Read NodeUnpublishVolume: volume id and target path."""
    return volume_id(message.volume_id), checks.required_path("target_path", message.target_path)


def stats(message: pb.NodeGetVolumeStatsRequest) -> tuple[str, str, str]:
    """Read NodeGetVolumeStats: volume id, volume path, staging path. Raises NotFound when no volume can be there."""
    volume, path = _volume_at(message.volume_id, message.volume_path)
    return volume, path, checks.optional_path("staging_target_path", message.staging_target_path)


def volume_health(message: pb.NodeGetVolumeHealthRequest) -> str:
    """Read NodeGetVolumeHealth: the volume id; all paths of the volume are looked at, whichever are named."""
    volume = volume_id(message.volume_id)
    checks.optional_path("volume_publish_path", message.volume_publish_path)
    checks.optional_path("staging_target_path", message.staging_target_path)
    _known_form(volume)
    return volume


def expand(message: pb.NodeExpandVolumeRequest) -> NodeExpandRequest:
    """Read NodeExpandVolume. Raises NotFound when no volume can be at the path."""
    volume, path = _volume_at(message.volume_id, message.volume_path)
    bounds = CapacityRange()
    if message.capacity_range is not None:
        bounds = checks.capacity_range(message.capacity_range.required_bytes, message.capacity_range.limit_bytes)
    staging = checks.optional_path("staging_target_path", message.staging_target_path)
    return NodeExpandRequest(volume, path, bounds, staging, optional_capability(message.volume_capability))


def _volume_at(volume: str, path: str) -> tuple[str, str]:
    """Check a pair that is only looked up: a path of impossible form holds no volume, and csi-sanity asks for that."""
    volume_id(volume)
    if not path:
        raise InvalidRequest("volume_path", path, "required")
    _known_form(volume)
    if not checks.is_plain_path(path) or len(path.encode()) > checks.LONGEST_PATH:
        raise NotFound(f"volume_path={checks.shortened(path)!r}: no volume is there; volumes are at absolute paths")
    return volume, path


def _known_form(volume: str) -> None:
    if names.parse_volume_id(volume) is None:
        raise NotFound(f"volume_id={volume!r}: no such volume; this driver's ids look like <backend>/<slot>")


def _publish_context(given: Mapping[str, str]) -> PublishContext:
    checks.small_map("publish_context", given)
    own = {key: value for key, value in given.items() if not parameters.is_reserved(key)}
    try:
        return names.parse_publish_context(own)
    except ValueError as error:
        shown = checks.shortened(", ".join(sorted(own)))
        raise InvalidRequest("publish_context", shown, str(error)) from error
