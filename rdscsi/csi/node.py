"""The Node service: each method reads its request, asks the port, writes the answer. No decision is made here."""

from rdscsi.csi import node_requests, replies
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.ports import NodePort
from rdscsi.csi.rpc import Calls, rpc
from rdscsi.csi.topology import Topology

_Type = pb.NodeServiceCapabilityRpcType

CAPABILITIES = (
    _Type.STAGE_UNSTAGE_VOLUME,
    _Type.GET_VOLUME_STATS,
    _Type.GET_VOLUME_HEALTH,
    _Type.GET_STORAGE_HEALTH,
    _Type.EXPAND_VOLUME,
    _Type.SINGLE_NODE_MULTI_WRITER,
)


class Node(pb.NodeBase):
    """Over the node half's port."""

    def __init__(self, calls: Calls, port: NodePort, topology: Topology) -> None:
        self.calls = calls
        self._topology = topology
        self._port = port

    @rpc(changes=True)
    async def node_stage_volume(self, message: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        await self._port.stage(node_requests.stage(message))
        return pb.NodeStageVolumeResponse()

    @rpc(changes=True)
    async def node_unstage_volume(self, message: pb.NodeUnstageVolumeRequest) -> pb.NodeUnstageVolumeResponse:
        await self._port.unstage(*node_requests.unstage(message))
        return pb.NodeUnstageVolumeResponse()

    @rpc(changes=True)
    async def node_publish_volume(self, message: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        await self._port.publish(node_requests.publish(message))
        return pb.NodePublishVolumeResponse()

    @rpc(changes=True)
    async def node_unpublish_volume(self, message: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        await self._port.unpublish(*node_requests.unpublish(message))
        return pb.NodeUnpublishVolumeResponse()

    @rpc(changes=False)
    async def node_get_volume_stats(self, message: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        return replies.volume_stats(await self._port.stats(*node_requests.stats(message)))

    @rpc(changes=False)
    async def node_get_volume_health(self, message: pb.NodeGetVolumeHealthRequest) -> pb.NodeGetVolumeHealthResponse:
        return replies.node_volume_health(await self._port.volume_health(node_requests.volume_health(message)))

    @rpc(changes=False)
    async def node_get_storage_health(self, message: pb.NodeGetStorageHealthRequest) -> pb.NodeGetStorageHealthResponse:
        return replies.storage_health(await self._port.storage_health())

    @rpc(changes=True)
    async def node_expand_volume(self, message: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        capacity_bytes = await self._port.expand(node_requests.expand(message))
        return pb.NodeExpandVolumeResponse(capacity_bytes=capacity_bytes)

    @rpc(changes=False)
    async def node_get_capabilities(self, message: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        return replies.node_capabilities(CAPABILITIES)

    @rpc(changes=False)
    async def node_get_info(self, message: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        """From memory: registration never waits for the appliance (law 9)."""
        return pb.NodeGetInfoResponse(
            node_id=self._port.node_id,
            max_volumes_per_node=self._port.max_volumes_per_node,
            accessible_topology=self._topology.of_node(self._port.backends),
        )
