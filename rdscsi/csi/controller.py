"""The Controller service: each method reads its request, asks the port, writes the answer. No decision is made here.

What is not here (modification, groups) answers UNIMPLEMENTED, by the generated base class.
"""

from dataclasses import replace

from rdscsi.csi import replies, requests
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.ports import ControllerPort
from rdscsi.csi.rpc import Calls, rpc
from rdscsi.csi.topology import Topology

_Type = pb.ControllerServiceCapabilityRpcType

CAPABILITIES = (
    _Type.CREATE_DELETE_VOLUME,
    _Type.PUBLISH_UNPUBLISH_VOLUME,
    _Type.LIST_VOLUMES,
    _Type.LIST_VOLUMES_PUBLISHED_NODES,
    _Type.GET_VOLUME,
    _Type.GET_CAPACITY,
    _Type.EXPAND_VOLUME,
    _Type.CREATE_DELETE_SNAPSHOT,
    _Type.LIST_SNAPSHOTS,
    _Type.GET_SNAPSHOT,
    _Type.CLONE_VOLUME,
    _Type.SINGLE_NODE_MULTI_WRITER,
    _Type.GET_VOLUME_HEALTH,
    _Type.LIST_VOLUME_HEALTH,
)


class Controller(pb.ControllerBase):
    """Over the controller half's port."""

    def __init__(self, calls: Calls, port: ControllerPort, topology: Topology) -> None:
        self.calls = calls
        self._topology = topology
        self._port = port

    @rpc(changes=True)
    async def create_volume(self, message: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        allowed = self._topology.allowed(message.accessibility_requirements)
        volume = await self._port.create_volume(replace(requests.create_volume(message), reachable=allowed))
        return replies.create_volume(volume, self._topology.of_volume(volume.volume_id))

    @rpc(changes=True)
    async def delete_volume(self, message: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        await self._port.delete_volume(requests.volume_id(message.volume_id))
        return pb.DeleteVolumeResponse()

    @rpc(changes=True)
    async def controller_publish_volume(
        self, message: pb.ControllerPublishVolumeRequest
    ) -> pb.ControllerPublishVolumeResponse:
        return replies.publish_volume(await self._port.publish_volume(requests.publish_volume(message)))

    @rpc(changes=True)
    async def controller_unpublish_volume(
        self, message: pb.ControllerUnpublishVolumeRequest
    ) -> pb.ControllerUnpublishVolumeResponse:
        await self._port.unpublish_volume(*requests.unpublish_volume(message))
        return pb.ControllerUnpublishVolumeResponse()

    @rpc(changes=False)
    async def validate_volume_capabilities(
        self, message: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """A volume that does not exist is said before a capability that no volume serves, as the specification asks."""
        asked = requests.validate_capabilities(message)
        reason = await self._port.validate_capabilities(asked.volume_id, asked.capabilities, asked.parameters)
        reason = asked.unserved or reason
        return replies.not_confirmed(reason) if reason else replies.confirmed(message)

    @rpc(changes=False)
    async def list_volumes(self, message: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        return replies.list_volumes(await self._port.list_volumes(*requests.list_volumes(message)))

    @rpc(changes=False)
    async def controller_get_volume(self, message: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        return replies.get_volume(await self._port.get_volume(requests.volume_id(message.volume_id)))

    @rpc(changes=False)
    async def controller_get_volume_health(
        self, message: pb.ControllerGetVolumeHealthRequest
    ) -> pb.ControllerGetVolumeHealthResponse:
        return replies.get_volume_health(await self._port.get_volume_health(requests.volume_id(message.volume_id)))

    @rpc(changes=False)
    async def controller_list_volume_health(
        self, message: pb.ControllerListVolumeHealthRequest
    ) -> pb.ControllerListVolumeHealthResponse:
        asked = requests.list_volume_health(message)
        return replies.list_volume_health(await self._port.list_volume_health(*asked))

    @rpc(changes=False)
    async def get_capacity(self, message: pb.GetCapacityRequest) -> pb.GetCapacityResponse:
        asked = self._topology.asked(message.accessible_topology)
        return replies.get_capacity(await self._port.get_capacity(*requests.get_capacity(message), asked))

    @rpc(changes=True)
    async def controller_expand_volume(
        self, message: pb.ControllerExpandVolumeRequest
    ) -> pb.ControllerExpandVolumeResponse:
        return replies.expand_volume(await self._port.expand_volume(*requests.expand_volume(message)))

    @rpc(changes=True)
    async def create_snapshot(self, message: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        return replies.create_snapshot(await self._port.create_snapshot(requests.create_snapshot(message)))

    @rpc(changes=True)
    async def delete_snapshot(self, message: pb.DeleteSnapshotRequest) -> pb.DeleteSnapshotResponse:
        await self._port.delete_snapshot(requests.snapshot_id(message.snapshot_id))
        return pb.DeleteSnapshotResponse()

    @rpc(changes=False)
    async def list_snapshots(self, message: pb.ListSnapshotsRequest) -> pb.ListSnapshotsResponse:
        return replies.list_snapshots(await self._port.list_snapshots(requests.list_snapshots(message)))

    @rpc(changes=False)
    async def get_snapshot(self, message: pb.GetSnapshotRequest) -> pb.GetSnapshotResponse:
        return replies.get_snapshot(await self._port.get_snapshot(requests.snapshot_id(message.snapshot_id)))

    @rpc(changes=False)
    async def controller_get_capabilities(
        self, message: pb.ControllerGetCapabilitiesRequest
    ) -> pb.ControllerGetCapabilitiesResponse:
        return replies.controller_capabilities(CAPABILITIES)
