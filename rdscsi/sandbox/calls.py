"""Builders of CSI requests for sandbox, demo and tests: what a sidecar or kubelet would send."""

from rdscsi.csi.pb.csi.v1 import (
    CapacityRange,
    CreateVolumeRequest,
    DeleteVolumeRequest,
    VolumeCapability,
    VolumeCapabilityAccessMode,
    VolumeCapabilityAccessModeMode,
    VolumeCapabilityBlockVolume,
    VolumeCapabilityMountVolume,
)


def filesystem(fs_type: str = "") -> VolumeCapability:
    """A mounted filesystem for one node."""
    return VolumeCapability(mount=VolumeCapabilityMountVolume(fs_type=fs_type), access_mode=_one_node())


def block() -> VolumeCapability:
    """A raw block device for one node."""
    return VolumeCapability(block=VolumeCapabilityBlockVolume(), access_mode=_one_node())


def create(name: str, required_bytes: int, capability: VolumeCapability) -> CreateVolumeRequest:
    """A CreateVolume as external-provisioner sends it."""
    return CreateVolumeRequest(
        name=name, capacity_range=CapacityRange(required_bytes=required_bytes), volume_capabilities=[capability]
    )


def delete(volume_id: str) -> DeleteVolumeRequest:
    """A DeleteVolume."""
    return DeleteVolumeRequest(volume_id=volume_id)


def _one_node() -> VolumeCapabilityAccessMode:
    return VolumeCapabilityAccessMode(mode=VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER)
