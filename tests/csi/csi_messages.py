"""Requests that are right in every field, for tests that then spoil one; and the sidecars' real maps."""

from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.model import GIB
from rdscsi.names import node_id, slot, subnqn, volume_id

CLUSTER = "11111111-2222-3333-4444-555555555555"
SLOT = slot("v", CLUSTER, "pvc-1")
VOLUME_ID = volume_id("rds", SLOT)
SNAPSHOT_ID = volume_id("rds", slot("s", CLUSTER, "snap-1"))
NODE_ID = node_id("node-a")
NQN = subnqn(SLOT, "a" * 16)
PUBLISH_CONTEXT = {"subnqn": NQN, "portals": "192.0.2.1:4420,[2001:db8::1]:4421"}
STAGE = "/var/lib/kubelet/plugins/kubernetes.io/csi/csi.rdscsi.io/8f0c/globalmount"
TARGET = "/var/lib/kubelet/pods/3b1d/volumes/kubernetes.io~csi/pvc-1/mount"

Mode = pb.VolumeCapabilityAccessModeMode

EXTRA_CREATE_METADATA = {
    "csi.storage.k8s.io/pvc/name": "data-postgres-0",
    "csi.storage.k8s.io/pvc/namespace": "shop",
    "csi.storage.k8s.io/pv/name": "pvc-1",
}
"""What external-provisioner adds with `--extra-create-metadata`."""

EXTRA_SNAPSHOT_METADATA = {
    "csi.storage.k8s.io/volumesnapshot/name": "data-postgres-0-monday",
    "csi.storage.k8s.io/volumesnapshot/namespace": "shop",
    "csi.storage.k8s.io/volumesnapshotcontent/name": "snapcontent-1",
}
"""What csi-snapshotter adds with `--extra-create-metadata`."""

SECRET_TEMPLATES = {
    "csi.storage.k8s.io/fstype": "ext4",
    "csi.storage.k8s.io/provisioner-secret-name": "${pvc.name}",
    "csi.storage.k8s.io/node-stage-secret-namespace": "default",
}
"""Keys of a StorageClass that the sidecars read; some versions of them hand these on."""

POD_INFO = {
    "csi.storage.k8s.io/pod.name": "postgres-0",
    "csi.storage.k8s.io/pod.namespace": "shop",
    "csi.storage.k8s.io/pod.uid": "3b1d6f0e-0000-4000-8000-000000000000",
    "csi.storage.k8s.io/serviceAccount.name": "default",
    "csi.storage.k8s.io/ephemeral": "false",
}
"""What a kubelet adds to a volume_context where the CSIDriver asks for `podInfoOnMount`."""

PROVISIONER_IDENTITY = {"storage.kubernetes.io/csiProvisionerIdentity": "1732521600000-8081-csi.rdscsi.io"}
"""What external-provisioner adds to every volume_context."""


def mount(
    mode: Mode = Mode.SINGLE_NODE_WRITER, *, fs_type: str = "ext4", flags: tuple[str, ...] = (), group: str = ""
) -> pb.VolumeCapability:
    """A capability of access type mount."""
    how = pb.VolumeCapabilityMountVolume(fs_type=fs_type, mount_flags=list(flags), volume_mount_group=group)
    return pb.VolumeCapability(mount=how, access_mode=pb.VolumeCapabilityAccessMode(mode=mode))


def block(mode: Mode = Mode.SINGLE_NODE_WRITER) -> pb.VolumeCapability:
    """A capability of access type block."""
    access_mode = pb.VolumeCapabilityAccessMode(mode=mode)
    return pb.VolumeCapability(block=pb.VolumeCapabilityBlockVolume(), access_mode=access_mode)


def create() -> pb.CreateVolumeRequest:
    return pb.CreateVolumeRequest(
        name="pvc-1",
        capacity_range=pb.CapacityRange(required_bytes=GIB, limit_bytes=2 * GIB),
        volume_capabilities=[mount()],
        parameters={"backend": "rds", **EXTRA_CREATE_METADATA},
        secrets={"password": "x"},
    )


def create_snapshot() -> pb.CreateSnapshotRequest:
    return pb.CreateSnapshotRequest(
        source_volume_id=VOLUME_ID,
        name="snap-1",
        secrets={"password": "x"},
        parameters={"backend": "rds", **EXTRA_SNAPSHOT_METADATA},
    )


def controller_publish() -> pb.ControllerPublishVolumeRequest:
    return pb.ControllerPublishVolumeRequest(
        volume_id=VOLUME_ID, node_id=NODE_ID, volume_capability=mount(), volume_context=PROVISIONER_IDENTITY
    )


def controller_unpublish() -> pb.ControllerUnpublishVolumeRequest:
    return pb.ControllerUnpublishVolumeRequest(volume_id=VOLUME_ID, node_id=NODE_ID)


def validate() -> pb.ValidateVolumeCapabilitiesRequest:
    return pb.ValidateVolumeCapabilitiesRequest(
        volume_id=VOLUME_ID,
        volume_capabilities=[mount(), block()],
        volume_context=PROVISIONER_IDENTITY,
        parameters={"backend": "rds", **EXTRA_CREATE_METADATA},
    )


def controller_expand() -> pb.ControllerExpandVolumeRequest:
    return pb.ControllerExpandVolumeRequest(
        volume_id=VOLUME_ID, capacity_range=pb.CapacityRange(required_bytes=2 * GIB), volume_capability=mount()
    )


def stage() -> pb.NodeStageVolumeRequest:
    return pb.NodeStageVolumeRequest(
        volume_id=VOLUME_ID,
        publish_context=dict(PUBLISH_CONTEXT),
        staging_target_path=STAGE,
        volume_capability=mount(),
        volume_context=dict(PROVISIONER_IDENTITY),
    )


def publish() -> pb.NodePublishVolumeRequest:
    return pb.NodePublishVolumeRequest(
        volume_id=VOLUME_ID,
        publish_context=dict(PUBLISH_CONTEXT),
        staging_target_path=STAGE,
        target_path=TARGET,
        volume_capability=mount(),
        volume_context={**PROVISIONER_IDENTITY, **POD_INFO},
    )


def expand() -> pb.NodeExpandVolumeRequest:
    return pb.NodeExpandVolumeRequest(
        volume_id=VOLUME_ID,
        volume_path=TARGET,
        capacity_range=pb.CapacityRange(required_bytes=2 * GIB),
        staging_target_path=STAGE,
        volume_capability=mount(),
    )
