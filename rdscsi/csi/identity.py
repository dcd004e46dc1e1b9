"""The Identity service: who this is, what it serves, whether it has started. Answers from memory, always (law 9)."""

from collections.abc import Sequence

import rdscsi
from rdscsi import names
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.ports import ControllerPort, NodePort
from rdscsi.csi.rpc import Calls, rpc
from rdscsi.csi.topology import Topology

SPECIFICATION = "1.13.0"

_Service = pb.PluginCapabilityServiceType
_Expansion = pb.PluginCapabilityVolumeExpansionType


class Identity(pb.IdentityBase):
    """Served by every process, beside one half or both."""

    def __init__(
        self, calls: Calls, topology: Topology, *, controller: ControllerPort | None, node: NodePort | None
    ) -> None:
        self.calls = calls
        self._topology = topology
        self._controller = controller
        self._node = node

    @rpc(changes=False)
    async def get_plugin_info(self, message: pb.GetPluginInfoRequest) -> pb.GetPluginInfoResponse:
        """Name and version of the driver, and which halves this process serves."""
        halves = {"controller": self._controller, "node": self._node}
        manifest = {"specification": SPECIFICATION, "halves": ",".join(name for name, half in halves.items() if half)}
        return pb.GetPluginInfoResponse(name=names.DRIVER_NAME, vendor_version=rdscsi.__version__, manifest=manifest)

    @rpc(changes=False)
    async def get_plugin_capabilities(
        self, message: pb.GetPluginCapabilitiesRequest
    ) -> pb.GetPluginCapabilitiesResponse:
        """Whether there is a controller half here, and topology; volumes grow while they are used, on both halves."""
        capabilities = [
            pb.PluginCapability(volume_expansion=pb.PluginCapabilityVolumeExpansion(type=_Expansion.ONLINE))
        ]
        if self._controller is not None:
            service = pb.PluginCapabilityService(type=_Service.CONTROLLER_SERVICE)
            capabilities.insert(0, pb.PluginCapability(service=service))
        if self._topology.on:
            constraints = pb.PluginCapabilityService(type=_Service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
            capabilities.insert(1, pb.PluginCapability(service=constraints))
        return pb.GetPluginCapabilitiesResponse(capabilities=capabilities)

    @rpc(changes=False)
    async def probe(self, message: pb.ProbeRequest) -> pb.ProbeResponse:
        """Whether every half that is served has started. Nothing is sent to the appliance."""
        return pb.ProbeResponse(ready=ready((self._controller, self._node)))


def ready(halves: Sequence[ControllerPort | NodePort | None]) -> bool:
    """Tell whether all halves that are there have started."""
    return all(half.ready() for half in halves if half is not None)
