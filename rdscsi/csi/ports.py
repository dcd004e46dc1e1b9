"""What the edge asks of the two halves of the driver; the halves are passed in, and the edge knows nothing else.

Every method may raise any class of `rdscsi.errors` that its own text or the class's docstring allows;
`rdscsi.csi.status` turns them into gRPC codes. A method may be cancelled at any await: the caller's deadline or
disconnect ends the wait, never the work (law 1), so whoever implements a port runs the work elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rdscsi.model import (
    Capacity,
    CapacityRange,
    Expansion,
    NodeExpandRequest,
    NodePublishRequest,
    PublishRequest,
    Snapshot,
    SnapshotPage,
    SnapshotQuery,
    SnapshotRequest,
    StageRequest,
    StorageProblem,
    Volume,
    VolumeCapability,
    VolumeHealth,
    VolumeHealthPage,
    VolumePage,
    VolumeRequest,
    VolumeStats,
)


class ControllerPort(Protocol):
    """The controller half: volumes and publications on the appliance."""

    async def create_volume(self, request: VolumeRequest) -> Volume:
        """Make the volume of this name, or find it made with the same request.

        Raises AlreadyExists when the name is taken by another request, CapacityOutOfRange, OutOfSpace, NotReachable,
        and NotFound for a content source that does not exist.
        """
        ...

    async def delete_volume(self, volume_id: str) -> None:
        """Return once nothing of the volume is left. An id that is malformed or unknown is a success.

        Raises NotPermittedNow while the volume is published.
        """
        ...

    async def publish_volume(self, request: PublishRequest) -> Mapping[str, str]:
        """Export the volume to the node; returns the publish_context, the same one for a repeated call.

        Raises NotFound for an unknown volume or node, AlreadyExists when published there with another capability
        or readonly flag, NotPermittedNow when published elsewhere.
        """
        ...

    async def unpublish_volume(self, volume_id: str, node_id: str) -> None:
        """End the publication to the node; an empty node id means all nodes. Proven unexported is a success."""
        ...

    async def validate_capabilities(
        self, volume_id: str, capabilities: Sequence[VolumeCapability], parameters: Mapping[str, str]
    ) -> str:
        """Return an empty text when the volume serves every capability, else why it does not. Raises NotFound."""
        ...

    async def list_volumes(self, max_entries: int, starting_token: str) -> VolumePage:
        """Return one page; 0 entries leaves its size to the driver.

        Raises InvalidToken, and InventoryIncomplete rather than a partial list.
        """
        ...

    async def get_volume(self, volume_id: str) -> Volume:
        """Return the volume with its published nodes and condition. Raises NotFound."""
        ...

    async def get_volume_health(self, volume_id: str) -> VolumeHealth:
        """Look at the volume and return what is wrong with it, if anything. Raises NotFound, and NotFinal unseen."""
        ...

    async def list_volume_health(self, max_entries: int, starting_token: str) -> VolumeHealthPage:
        """Return one page of volumes that something is wrong with. Raises as `list_volumes`, and NotFinal unseen."""
        ...

    async def get_capacity(
        self,
        parameters: Mapping[str, str],
        capabilities: Sequence[VolumeCapability],
        reachable: frozenset[str] | None = None,
    ) -> Capacity:
        """Return what the backend that the parameters name could still hold, in bytes.

        Nothing, for nodes that reach other backends only; None for all nodes.
        """
        ...

    async def expand_volume(
        self, volume_id: str, capacity_range: CapacityRange, capability: VolumeCapability | None
    ) -> Expansion:
        """Grow the volume; a volume that is large enough already is a success. Raises NotFound."""
        ...

    async def create_snapshot(self, request: SnapshotRequest) -> Snapshot:
        """Take a snapshot of the volume, or find it taken.

        Raises AlreadyExists when the name is another volume's snapshot, NotFound, OutOfSpace, and NotSupported where
        the pool cannot take snapshots.
        """
        ...

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Return once nothing of the snapshot is left. An id that is malformed or unknown is a success."""
        ...

    async def list_snapshots(self, query: SnapshotQuery) -> SnapshotPage:
        """Return one page. Raises as `list_volumes`."""
        ...

    async def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Return the snapshot. Raises NotFound."""
        ...

    def ready(self) -> bool:
        """Tell whether the half has started. From memory, at once; an appliance out of reach does not unready it."""
        ...


class NodePort(Protocol):
    """The node half: attaching, mounting and growing published volumes on this machine."""

    @property
    def node_id(self) -> str:
        """The CSI node id, at most 128 bytes."""
        ...

    @property
    def backends(self) -> Sequence[str]:
        """The backends whose storage addresses this machine reaches, for its topology."""
        ...

    @property
    def max_volumes_per_node(self) -> int:
        """How many volumes the orchestrator may place here; 0 leaves it to the orchestrator."""
        ...

    async def stage(self, request: StageRequest) -> None:
        """Attach the volume and, for a filesystem, mount it at the staging path.

        Raises NotFound, AlreadyExists when staged there with another capability, FormatRefused.
        """
        ...

    async def unstage(self, volume_id: str, staging_target_path: str) -> None:
        """Return once nothing of the volume is mounted at the path or attached. Nothing there is a success."""
        ...

    async def publish(self, request: NodePublishRequest) -> None:
        """Make the staged volume appear at the target path.

        Raises NotFound, AlreadyExists when published there with another capability or readonly flag, and
        NotPermittedNow when not staged or, for a single writer, published at another path.
        """
        ...

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        """Return once the target path is gone. Nothing there is a success."""
        ...

    async def stats(self, volume_id: str, volume_path: str, staging_target_path: str) -> VolumeStats:
        """Measure the volume at the path; the staging path may be empty.

        Raises NotFound when the volume is not at this path.
        """
        ...

    async def volume_health(self, volume_id: str) -> VolumeHealth:
        """Tell what is wrong with a volume as this machine sees it.

        Raises NotFound when it is neither staged here nor about to be, and DeviceUnavailable when it cannot be told.
        """
        ...

    async def storage_health(self) -> Sequence[StorageProblem]:
        """Tell what is wrong with the storage as this machine sees it, each reason once. Raises DeviceUnavailable."""
        ...

    async def expand(self, request: NodeExpandRequest) -> int:
        """Let the device and its filesystem fill the volume's present size; returns the capacity in bytes.

        Raises NotFound when the volume is not at this path.
        """
        ...

    def ready(self) -> bool:
        """Tell whether the half has started. Answers from memory, at once."""
        ...
