"""The values that travel between layers. Frozen, without behaviour beyond their own arithmetic.

Names follow the CSI specification (v1.13.0) where it has one. Nothing here knows gRPC, RouterOS or SQL.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
GIB = 1 << 30


class AccessType(enum.Enum):
    """How a workload sees the volume: a mounted filesystem or a raw block device."""

    MOUNT = "mount"
    BLOCK = "block"


class AccessMode(enum.Enum):
    """`VolumeCapability.AccessMode.Mode` of the CSI specification, without UNKNOWN."""

    SINGLE_NODE_WRITER = "SINGLE_NODE_WRITER"
    SINGLE_NODE_READER_ONLY = "SINGLE_NODE_READER_ONLY"
    MULTI_NODE_READER_ONLY = "MULTI_NODE_READER_ONLY"
    MULTI_NODE_SINGLE_WRITER = "MULTI_NODE_SINGLE_WRITER"
    MULTI_NODE_MULTI_WRITER = "MULTI_NODE_MULTI_WRITER"
    SINGLE_NODE_SINGLE_WRITER = "SINGLE_NODE_SINGLE_WRITER"
    SINGLE_NODE_MULTI_WRITER = "SINGLE_NODE_MULTI_WRITER"

    @property
    def multi_node(self) -> bool:
        """Whether the mode lets two nodes use the volume at once."""
        return self.name.startswith("MULTI_NODE")


@dataclass(frozen=True, slots=True)
class VolumeCapability:
    """One way in which a volume is to be used. `fs_type` is empty when the caller leaves it to the driver."""

    access_type: AccessType
    access_mode: AccessMode
    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()
    volume_mount_group: str = ""


@dataclass(frozen=True, slots=True)
class CapacityRange:
    """Sizes in bytes; 0 means unset, as on the wire."""

    required_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ContentSource:
    """What a new volume is filled with: a snapshot, or a volume to be cloned. Exactly one of the ids is set."""

    snapshot_id: str = ""
    volume_id: str = ""

    @property
    def source_id(self) -> str:
        """The id of whichever it is."""
        return self.snapshot_id or self.volume_id


@dataclass(frozen=True, slots=True)
class Claim:
    """The PersistentVolumeClaim that a volume is made for."""

    namespace: str
    name: str


class Standing(enum.Enum):
    """Who in the cluster has to do with a volume, or may yet ask for it."""

    VOLUME = "a PersistentVolume names it"
    CLAIM = "its claim is still there"
    NOBODY = "no PersistentVolume names it, and its claim is gone"


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """A CreateVolume request after its fields were checked. `parameters` holds the driver's own keys only."""

    name: str
    capacity_range: CapacityRange
    capabilities: tuple[VolumeCapability, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    source: ContentSource | None = None
    reachable: frozenset[str] | None = None
    """The backends that the nodes asked for reach; None when it does not matter. Never part of equality."""
    claim: Claim | None = field(default=None, compare=False)
    """For whom, where the orchestrator tells; no part of what is asked for."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as CSI tells of it. `capacity_bytes` is exact, as read back from the appliance."""

    volume_id: str
    capacity_bytes: int
    published_node_ids: tuple[str, ...] = ()
    volume_context: Mapping[str, str] = field(default_factory=dict)
    abnormal: str = ""
    """Why the volume needs a person's look; empty when all is well."""
    source: ContentSource | None = None
    """Told by CreateVolume only."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """A CreateSnapshot request after its fields were checked. `parameters` holds the driver's own keys only."""

    name: str
    source_volume_id: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as CSI tells of it. `created_at` is the appliance's time, in seconds since the epoch."""

    snapshot_id: str
    source_volume_id: str
    size_bytes: int
    created_at: float
    ready: bool = True


@dataclass(frozen=True, slots=True)
class SnapshotQuery:
    """What ListSnapshots asks for; 0 and empty texts mean unset, as on the wire."""

    max_entries: int = 0
    starting_token: str = ""
    source_volume_id: str = ""
    snapshot_id: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """A page of ListSnapshots; `next_token` is empty on the last one."""

    snapshots: tuple[Snapshot, ...]
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class VolumePage:
    """A page of ListVolumes; `next_token` is empty on the last one."""

    volumes: tuple[Volume, ...]
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A ControllerPublishVolume request after its fields were checked."""

    volume_id: str
    node_id: str
    capability: VolumeCapability
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """What GetCapacity answers, in bytes."""

    available_bytes: int
    maximum_volume_bytes: int
    minimum_volume_bytes: int


@dataclass(frozen=True, slots=True)
class Expansion:
    """The outcome of an expansion: the size read back, and whether the node has work left."""

    capacity_bytes: int
    node_expansion_required: bool


@dataclass(frozen=True, slots=True)
class Portal:
    """An NVMe/TCP address of the appliance: `traddr` (an IP literal) and `trsvcid` (the TCP port)."""

    traddr: str
    trsvcid: int

    def __str__(self) -> str:
        host = f"[{self.traddr}]" if ":" in self.traddr else self.traddr
        return f"{host}:{self.trsvcid}"


@dataclass(frozen=True, slots=True)
class PublishContext:
    """What a node needs to reach a published volume: the content of CSI's `publish_context`.

    `subnqn` is fresh for each epoch. `format_permit` is empty unless the volume is proven blank and may be
    formatted once (law 6); otherwise it names the permission so that logs can follow it.
    """

    subnqn: str
    portals: tuple[Portal, ...]
    format_permit: str = ""
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a volume is connected and formatted where its StorageClass says; read and checked by `rdscsi.tuning`.

    Times in seconds, names as in nvme-connect(1). `ctrl_loss_tmo` is finite: when it has passed, what waits for the
    device gets an error, and a fenced node can unmount. `nr_io_queues` 0 leaves the choice to the kernel.
    `mkfs_options` are words of the class for its type of filesystem.
    """

    ctrl_loss_tmo: int = 600
    reconnect_delay: int = 5
    keep_alive_tmo: int = 5
    nr_io_queues: int = 0
    mkfs_options: str = ""


DEFAULT_TUNING = Tuning()


@dataclass(frozen=True, slots=True)
class StageRequest:
    """A NodeStageVolume request after its fields were checked."""

    volume_id: str
    staging_target_path: str
    capability: VolumeCapability
    publish_context: PublishContext
    tuning: Tuning = DEFAULT_TUNING


@dataclass(frozen=True, slots=True)
class NodePublishRequest:
    """A NodePublishVolume request after its fields were checked."""

    volume_id: str
    staging_target_path: str
    target_path: str
    capability: VolumeCapability
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class NodeExpandRequest:
    """A NodeExpandVolume request after its fields were checked; `capability` may be absent on the wire."""

    volume_id: str
    volume_path: str
    capacity_range: CapacityRange
    staging_target_path: str = ""
    capability: VolumeCapability | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """One line of NodeGetVolumeStats. `unit` is `bytes` or `inodes`; unknown figures are 0, as on the wire."""

    unit: str
    total: int
    available: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class VolumeStats:
    """What NodeGetVolumeStats answers."""

    usage: tuple[Usage, ...]
    abnormal: str = ""


class HealthStatus(enum.Enum):
    """`VolumeHealthErrorType` of the CSI specification, without UNKNOWN: how bad it is for the volume."""

    DEGRADED = "DEGRADED"
    INACCESSIBLE = "INACCESSIBLE"
    DATA_LOSS = "DATA_LOSS"


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """One thing that is wrong with a volume: `reason` is a CamelCase word for machines, `message` is for people."""

    status: HealthStatus
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class VolumeHealth:
    """What the health calls of both halves tell of one volume; without problems it is healthy."""

    volume_id: str
    problems: tuple[HealthProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeHealthPage:
    """A page of ControllerListVolumeHealth; `next_token` is empty on the last one."""

    entries: tuple[VolumeHealth, ...]
    next_token: str = ""


class StorageStatus(enum.Enum):
    """`StorageHealthErrorType` of the CSI specification, without UNKNOWN: how bad it is for a node's volumes."""

    DEGRADED = "STORAGE_DEGRADED"
    UNREACHABLE = "STORAGE_UNREACHABLE"


@dataclass(frozen=True, slots=True)
class StorageProblem:
    """One thing that is wrong with the storage, seen from a node; texts as in `HealthProblem`."""

    status: StorageStatus
    reason: str
    message: str
