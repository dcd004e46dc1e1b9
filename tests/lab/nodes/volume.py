"""A volume's way through the driver, as the orchestrator and kubelets send it, and data that is followed through it."""

import hashlib
from dataclasses import dataclass, field

from lab.nodes import csi
from lab.nodes.world import NodeMachine, World
from rdscsi import names
from rdscsi.csi.pb.csi.v1 import (
    CapacityRange,
    ControllerExpandVolumeRequest,
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    DeleteVolumeRequest,
    NodeExpandVolumeRequest,
    NodePublishVolumeRequest,
    NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest,
    VolumeCapability,
    VolumeContentSource,
)
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import CallFailed

MIB = 1 << 20
KUBELET = "/var/lib/kubelet"


@dataclass
class Volume:
    """One volume. Every step settles, as a kubelet's retries make it; `stage_refusal` calls once."""

    world: World
    name: str
    capability: VolumeCapability
    size: int = 400 * MIB
    source: VolumeContentSource | None = None
    volume_id: str = ""
    contexts: dict[str, dict[str, str]] = field(default_factory=dict)

    # -- controller ------------------------------------------------------------------------------------------------

    def create(self) -> "Volume":
        request = calls.create(self.name, self.size, self.capability)
        request.volume_content_source = self.source
        answer = csi.settle(self.world.controller, lambda client: client.controller.create_volume, request)
        assert answer.volume is not None
        self.volume_id, self.size = answer.volume.volume_id, answer.volume.capacity_bytes
        return self

    def delete(self) -> None:
        request = DeleteVolumeRequest(volume_id=self.volume_id)
        csi.settle(self.world.controller, lambda client: client.controller.delete_volume, request)

    def _publish_request(self, node: NodeMachine) -> ControllerPublishVolumeRequest:
        return ControllerPublishVolumeRequest(
            volume_id=self.volume_id, node_id=names.node_id(node.name), volume_capability=self.capability
        )

    def publish(self, node: NodeMachine) -> dict[str, str]:
        """ControllerPublishVolume; the publish_context."""
        request = self._publish_request(node)
        answer = csi.settle(self.world.controller, lambda client: client.controller.controller_publish_volume, request)
        self.contexts[node.name] = dict(answer.publish_context)
        return self.contexts[node.name]

    def publish_refusal(self, node: NodeMachine) -> CallFailed:
        request = self._publish_request(node)
        return csi.refusal(self.world.controller, lambda client: client.controller.controller_publish_volume, request)

    def unpublish(self, node: NodeMachine) -> None:
        """ControllerUnpublishVolume."""
        request = ControllerUnpublishVolumeRequest(volume_id=self.volume_id, node_id=names.node_id(node.name))
        csi.settle(self.world.controller, lambda client: client.controller.controller_unpublish_volume, request)
        self.contexts.pop(node.name, None)

    def expand(self, size: int) -> None:
        """ControllerExpandVolume."""
        request = ControllerExpandVolumeRequest(
            volume_id=self.volume_id,
            capacity_range=CapacityRange(required_bytes=size),
            volume_capability=self.capability,
        )
        csi.settle(self.world.controller, lambda client: client.controller.controller_expand_volume, request)
        self.size = size

    # -- node ------------------------------------------------------------------------------------------------------

    @property
    def staging_path(self) -> str:
        """As kubelet names it, for a filesystem or a block device."""
        kind = "block/staging" if self.capability.block is not None else "driver"
        return f"{KUBELET}/plugins/kubernetes.io/csi/{kind}/{self.name}"

    @property
    def target_path(self) -> str:
        """The first pod's path."""
        return f"{KUBELET}/pods/{self.name}/volume"

    def subnqn(self, node: NodeMachine) -> str:
        return self.contexts[node.name]["subnqn"]

    def stage_request(self, node: NodeMachine) -> NodeStageVolumeRequest:
        return NodeStageVolumeRequest(
            volume_id=self.volume_id,
            publish_context=self.contexts[node.name],
            staging_target_path=self.staging_path,
            volume_capability=self.capability,
        )

    def stage(self, node: NodeMachine) -> None:
        """NodeStageVolume; kubelet makes the staging path before."""
        node.machine.run("mkdir", "-p", self.staging_path)
        csi.settle(node.endpoint, lambda client: client.node.node_stage_volume, self.stage_request(node))

    def stage_refusal(self, node: NodeMachine) -> CallFailed:
        node.machine.run("mkdir", "-p", self.staging_path)
        return csi.refusal(node.endpoint, lambda client: client.node.node_stage_volume, self.stage_request(node))

    def mount(self, node: NodeMachine) -> None:
        """NodePublishVolume at the first pod's path."""
        node.machine.run("mkdir", "-p", self.target_path.rpartition("/")[0])
        request = NodePublishVolumeRequest(
            volume_id=self.volume_id,
            publish_context=self.contexts[node.name],
            staging_target_path=self.staging_path,
            target_path=self.target_path,
            volume_capability=self.capability,
        )
        csi.settle(node.endpoint, lambda client: client.node.node_publish_volume, request)

    def unmount(self, node: NodeMachine) -> None:
        """NodeUnpublishVolume."""
        request = NodeUnpublishVolumeRequest(volume_id=self.volume_id, target_path=self.target_path)
        csi.settle(node.endpoint, lambda client: client.node.node_unpublish_volume, request)

    def _unstage_request(self) -> NodeUnstageVolumeRequest:
        return NodeUnstageVolumeRequest(volume_id=self.volume_id, staging_target_path=self.staging_path)

    def unstage(self, node: NodeMachine) -> None:
        """NodeUnstageVolume."""
        csi.settle(node.endpoint, lambda client: client.node.node_unstage_volume, self._unstage_request())

    def expand_on(self, node: NodeMachine) -> int:
        """NodeExpandVolume; the size that it answers."""
        request = NodeExpandVolumeRequest(
            volume_id=self.volume_id,
            volume_path=self.target_path,
            staging_target_path=self.staging_path,
            capacity_range=CapacityRange(required_bytes=self.size),
            volume_capability=self.capability,
        )
        return csi.settle(node.endpoint, lambda client: client.node.node_expand_volume, request).capacity_bytes

    # -- all the way -----------------------------------------------------------------------------------------------

    def use(self, node: NodeMachine) -> None:
        """Publish, stage and mount it for a pod of the node."""
        self.publish(node)
        self.stage(node)
        self.mount(node)

    def leave(self, node: NodeMachine) -> None:
        """Take all of `use` off again."""
        self.unmount(node)
        self.unstage(node)
        self.unpublish(node)

    # -- data ------------------------------------------------------------------------------------------------------

    @property
    def data_path(self) -> str:
        """Where a pod's data goes: a file of the filesystem, or the device itself."""
        return self.target_path if self.capability.block is not None else f"{self.target_path}/data"

    def write(self, node: NodeMachine, mebibytes: int = 8) -> str:
        """Write random data, durably; its checksum."""
        script = f"head -c {mebibytes * MIB} /dev/urandom | tee {self.data_path} | sha256sum; sync {self.data_path}"
        return node.machine.run("sh", "-ec", script).out.split()[0]

    def checksum(self, node: NodeMachine, mebibytes: int = 8) -> str:
        """The checksum of the data as a pod reads it now, past the page cache."""
        script = f"echo 3 >/proc/sys/vm/drop_caches; head -c {mebibytes * MIB} {self.data_path} | sha256sum"
        return node.machine.run("sh", "-ec", script).out.split()[0]


def sha256_of_zeros(mebibytes: int) -> str:
    """The checksum of a blank device's beginning."""
    return hashlib.sha256(bytes(mebibytes * MIB)).hexdigest()
