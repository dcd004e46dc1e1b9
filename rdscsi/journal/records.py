"""What the journal remembers, as frozen values. The tables behind them are in `rdscsi.journal.schema`.

Times are seconds since the epoch. Nothing here knows SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

WAITS_META = "controller.waits"
"""Meta key: what keeps the controller from all work, `<seconds since the epoch> <reason>`; empty when nothing does."""

TOLD = "told"
"""The key of a request under which stands what was told beside it: kept, and no part of what makes requests equal."""

UNCLAIMED_META = "unclaimed."
"""How meta keys begin that tell of volumes which nobody asked for: `unclaimed.<id of the create>` holds
`<seconds since the epoch> <why it was kept>`."""

REQUEST_PREFIX = "request/"
"""How the subjects of what a person asked for begin (`rdscsi.journal.asking`)."""

OperationState: TypeAlias = Literal["open", "done", "refused", "superseded"]
VolumeState: TypeAlias = Literal["creating", "ready", "deleting"]
StageState: TypeAlias = Literal["staging", "staged", "unstaging"]


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One start of the process that writes this journal."""

    id: int
    pid: int
    host: str
    version: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Step:
    """A breadcrumb, for people only: nothing is ever skipped because of one.

    Two names are the journal's own: `attempt` (the body was entered again) and `error` (it was left unfinished).
    """

    at: float
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """An operation as it stands in the journal.

    `closed_at` is None while it is open. `outcome` says how it ended well, `error` why it was refused or, while it is
    open, why the last attempt ended. `attempts` counts how often its body was entered. `steps` is filled by
    `Journal.operation_record` only; `last_step` always, without the journal's own breadcrumbs.
    """

    id: str
    kind: str
    subject: str
    request: Mapping[str, Json]
    state: OperationState
    opened_at: float
    closed_at: float | None
    incarnation: int
    outcome: str
    error: str
    attempts: int
    last_step: Step | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """A volume of the controller half.

    `tag` is the owner tag last proven on the appliance, empty before. `backing` is the id of the operation that
    created the volume, which is part of its path. `quarantine` says why a person must look; empty when all is well.
    """

    volume_id: str
    backend: str
    slot: str
    csi_name: str
    backing: str
    capacity_bytes: int
    state: VolumeState
    tag: str
    ever_published: bool
    quarantine: str
    updated_at: float


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A volume that was finished though nobody asked for it any more, and why it was not erased."""

    volume_id: str
    csi_name: str
    capacity_bytes: int
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A snapshot of the controller half.

    `leaf` is its subvolume's name, which tells all of it (`names.SnapshotBacking`). `created_at`, by the appliance's
    clock, and `uuid` are 0 and empty before it was proven. `quarantine` says why a person must look.
    """

    snapshot_id: str
    backend: str
    slot: str
    csi_name: str
    source_volume_id: str
    leaf: str
    size_bytes: int
    created_at: float
    uuid: str
    state: VolumeState
    quarantine: str
    updated_at: float


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A volume or snapshot that is gone for good: what comes back under it is erased (law 13)."""

    volume_id: str
    slot: str
    backing: str
    generation: int
    deleted_at: float


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A volume staged on this node, or on its way there or away.

    `access_type` and `access_mode` are values of `rdscsi.model`'s enumerations. `portals` and `subnqn` are the
    publish_context's. `identity` and `size_bytes` are the device's as last proven, empty and 0 before. `formatted` says
    that mkfs has succeeded under `format_permit`. `volume_context` is what the volume's says of tuning, as JSON.
    """

    volume_id: str
    staging_target_path: str
    subnqn: str
    portals: str
    access_type: str
    access_mode: str
    fs_type: str
    mount_flags: str
    state: StageState
    size_bytes: int
    identity: str
    format_permit: str
    formatted: bool
    updated_at: float
    volume_context: str = "{}"


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """A path at which a staged volume was published on this node, or is about to be."""

    target_path: str
    volume_id: str
    access_type: str
    access_mode: str
    readonly: bool
    updated_at: float
