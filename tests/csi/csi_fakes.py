"""Both halves of the driver as the edge sees them: they write down what they are asked and answer as they are told."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio
from csi_messages import NODE_ID, SNAPSHOT_ID, VOLUME_ID

from rdscsi.csi.ports import ControllerPort, NodePort
from rdscsi.model import (
    GIB,
    Capacity,
    CapacityRange,
    Expansion,
    HealthProblem,
    HealthStatus,
    NodeExpandRequest,
    NodePublishRequest,
    PublishRequest,
    Snapshot,
    SnapshotPage,
    SnapshotQuery,
    SnapshotRequest,
    StageRequest,
    StorageProblem,
    StorageStatus,
    Usage,
    Volume,
    VolumeCapability,
    VolumeHealth,
    VolumeHealthPage,
    VolumePage,
    VolumeRequest,
    VolumeStats,
)


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


class _Half:
    """`work` runs inside each call and may wait or raise; `up` is what ready() says."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.up = True
        self.work: Callable[[], Awaitable[None]] = nothing

    def ready(self) -> bool:
        return self.up

    def raises(self, error: BaseException) -> None:
        """Have every call raise this."""

        async def work() -> None:
            raise error

        self.work = work

    async def _ask(self, *what: object) -> None:
        self.asked.append(what)
        await self.work()


class FakeController(_Half):
    """A ControllerPort of one volume."""

    def __init__(self) -> None:
        super().__init__()
        self.volume = Volume(VOLUME_ID, GIB, (NODE_ID,), {"key": "value"})
        self.snapshot = Snapshot(SNAPSHOT_ID, VOLUME_ID, GIB, 1_800_000_000.0)
        self.why_not = ""
        self.health = VolumeHealth(VOLUME_ID, (HealthProblem(HealthStatus.DATA_LOSS, "FileMissing", "it is gone"),))

    async def create_volume(self, request: VolumeRequest) -> Volume:
        await self._ask("create", request)
        return self.volume

    async def delete_volume(self, volume_id: str) -> None:
        await self._ask("delete", volume_id)

    async def publish_volume(self, request: PublishRequest) -> Mapping[str, str]:
        await self._ask("publish", request)
        return {"subnqn": "nqn", "portals": "192.0.2.1:4420"}

    async def unpublish_volume(self, volume_id: str, node_id: str) -> None:
        await self._ask("unpublish", volume_id, node_id)

    async def validate_capabilities(
        self, volume_id: str, capabilities: Sequence[VolumeCapability], parameters: Mapping[str, str]
    ) -> str:
        await self._ask("validate", volume_id, tuple(capabilities), dict(parameters))
        return self.why_not

    async def list_volumes(self, max_entries: int, starting_token: str) -> VolumePage:
        await self._ask("list", max_entries, starting_token)
        return VolumePage((self.volume,), "next")

    async def get_volume(self, volume_id: str) -> Volume:
        await self._ask("get", volume_id)
        return self.volume

    async def get_volume_health(self, volume_id: str) -> VolumeHealth:
        await self._ask("health", volume_id)
        return self.health

    async def list_volume_health(self, max_entries: int, starting_token: str) -> VolumeHealthPage:
        await self._ask("list health", max_entries, starting_token)
        return VolumeHealthPage((self.health,), "next")

    async def get_capacity(
        self,
        parameters: Mapping[str, str],
        capabilities: Sequence[VolumeCapability],
        reachable: frozenset[str] | None = None,
    ) -> Capacity:
        await self._ask("capacity", dict(parameters), tuple(capabilities), *(() if reachable is None else (reachable,)))
        return Capacity(300, 200, 100)

    async def expand_volume(
        self, volume_id: str, capacity_range: CapacityRange, capability: VolumeCapability | None
    ) -> Expansion:
        await self._ask("expand", volume_id, capacity_range, capability)
        return Expansion(2 * GIB, node_expansion_required=True)

    async def create_snapshot(self, request: SnapshotRequest) -> Snapshot:
        await self._ask("create snapshot", request)
        return self.snapshot

    async def delete_snapshot(self, snapshot_id: str) -> None:
        await self._ask("delete snapshot", snapshot_id)

    async def list_snapshots(self, query: SnapshotQuery) -> SnapshotPage:
        await self._ask("list snapshots", query)
        return SnapshotPage((self.snapshot,), "next")

    async def get_snapshot(self, snapshot_id: str) -> Snapshot:
        await self._ask("get snapshot", snapshot_id)
        return self.snapshot


class FakeNode(_Half):
    """A NodePort of one volume."""

    node_id = NODE_ID
    max_volumes_per_node = 17
    backends = ("one", "two")

    async def stage(self, request: StageRequest) -> None:
        await self._ask("stage", request)

    async def unstage(self, volume_id: str, staging_target_path: str) -> None:
        await self._ask("unstage", volume_id, staging_target_path)

    async def publish(self, request: NodePublishRequest) -> None:
        await self._ask("publish", request)

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        await self._ask("unpublish", volume_id, target_path)

    async def stats(self, volume_id: str, volume_path: str, staging_target_path: str) -> VolumeStats:
        await self._ask("stats", volume_id, volume_path, staging_target_path)
        return VolumeStats((Usage("bytes", 100, 60, 40), Usage("inodes", 10, 6, 4)))

    async def volume_health(self, volume_id: str) -> VolumeHealth:
        await self._ask("health", volume_id)
        return VolumeHealth(volume_id, (HealthProblem(HealthStatus.INACCESSIBLE, "PathsDown", "no path"),))

    async def storage_health(self) -> tuple[StorageProblem, ...]:
        await self._ask("storage health")
        return (StorageProblem(StorageStatus.UNREACHABLE, "PortalsUnreachable", "none answers"),)

    async def expand(self, request: NodeExpandRequest) -> int:
        await self._ask("expand", request)
        return 2 * GIB


_controller: ControllerPort = FakeController()  # mypy: the fakes are what the edge asks for
_node: NodePort = FakeNode()
