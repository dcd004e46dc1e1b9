"""Reads the journal's tables into records. Synchronous functions over a connection; who calls them owns the thread.

Used by `rdscsi.journal.journal` (the driver) and `rdscsi.journal.reading` (people, on a live file).
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from rdscsi.journal import schema
from rdscsi.journal.records import (
    UNCLAIMED_META,
    Incarnation,
    OperationRecord,
    OperationState,
    SnapshotRecord,
    StageRecord,
    Step,
    TargetRecord,
    Tombstone,
    Unclaimed,
    VolumeRecord,
)
from rdscsi.tags import never_let_in

ATTEMPT = "attempt"
ERROR = "error"
OWN_STEPS = (ATTEMPT, ERROR)

R = TypeVar("R")

_o, _s = schema.operations.c, schema.steps.c
_later = schema.steps.alias("later")
_LAST_STEP_ID = (
    sa.select(sa.func.max(_later.c.id))
    .where(_later.c.operation_id == _o.id, _later.c.name.not_in(OWN_STEPS))
    .correlate(schema.operations)
    .scalar_subquery()
)
_OPERATIONS = sa.select(schema.operations, _s.at, _s.name, _s.detail).select_from(
    schema.operations.outerjoin(schema.steps, _s.id == _LAST_STEP_ID)
)
_THIS = sa.bindparam("this", type_=sa.Text)
_OPEN = _OPERATIONS.where(_o.state == "open").order_by(_o.number)
_OPERATION = _OPERATIONS.where(_o.id == _THIS)
_TRAIL = sa.select(_s.at, _s.name, _s.detail).where(_s.operation_id == _THIS).order_by(_s.id)
_VOLUMES = sa.select(schema.volumes).order_by(schema.volumes.c.volume_id)
_VOLUME = sa.select(schema.volumes).where(schema.volumes.c.volume_id == _THIS)
_SNAPSHOTS = sa.select(schema.snapshots).order_by(schema.snapshots.c.snapshot_id)
_SNAPSHOT = sa.select(schema.snapshots).where(schema.snapshots.c.snapshot_id == _THIS)
_TOMBSTONES = sa.select(schema.tombstones).order_by(schema.tombstones.c.number)
_STAGES = sa.select(schema.stages).order_by(schema.stages.c.volume_id)
_STAGE = sa.select(schema.stages).where(schema.stages.c.volume_id == _THIS)


def open_operations(connection: sa.Connection) -> list[OperationRecord]:
    """Return every open operation, oldest intent first: the order in which they are settled."""
    rows = connection.execute(_OPEN)
    return [_operation(row._asdict()) for row in rows]


def operations(connection: sa.Connection, *, limit: int, state: OperationState | None) -> list[OperationRecord]:
    """Return operations, newest intent first."""
    chosen = _OPERATIONS if state is None else _OPERATIONS.where(_o.state == state)
    return [_operation(row._asdict()) for row in connection.execute(chosen.order_by(_o.number.desc()).limit(limit))]


def operations_about(connection: sa.Connection, text: str, *, limit: int) -> list[OperationRecord]:
    """Return the operations whose id or subject is this text; the open one first, then newest first."""
    chosen = _OPERATIONS.where(sa.or_(_o.id == text, _o.subject == text))
    ordered = chosen.order_by(_o.closed_at.is_not(None), _o.number.desc()).limit(limit)
    return [_operation(row._asdict()) for row in connection.execute(ordered)]


def operation(connection: sa.Connection, operation_id: str) -> OperationRecord | None:
    """Return one operation with all its steps."""
    row = connection.execute(_OPERATION, {"this": operation_id}).one_or_none()
    if row is None:
        return None
    trail = connection.execute(_TRAIL, {"this": operation_id})
    return replace(_operation(row._asdict()), steps=tuple(Step(*one) for one in trail))


def volume(connection: sa.Connection, volume_id: str) -> VolumeRecord | None:
    """Return a volume's record; None when the journal has none (which says nothing about the appliance)."""
    row = connection.execute(_VOLUME, {"this": volume_id}).one_or_none()
    return None if row is None else _record(VolumeRecord, row._asdict())


def volumes(connection: sa.Connection) -> list[VolumeRecord]:
    """Return all volumes by id."""
    rows = connection.execute(_VOLUMES)
    return [_record(VolumeRecord, row._asdict()) for row in rows]


def snapshot(connection: sa.Connection, snapshot_id: str) -> SnapshotRecord | None:
    """Return a snapshot's record; None when the journal has none (which says nothing about the appliance)."""
    row = connection.execute(_SNAPSHOT, {"this": snapshot_id}).one_or_none()
    return None if row is None else _record(SnapshotRecord, row._asdict())


def snapshots(connection: sa.Connection) -> list[SnapshotRecord]:
    """Return all snapshots by id."""
    rows = connection.execute(_SNAPSHOTS)
    return [_record(SnapshotRecord, row._asdict()) for row in rows]


def tombstones(connection: sa.Connection) -> list[Tombstone]:
    """Return all tombstones, oldest first."""
    rows = connection.execute(_TOMBSTONES)
    return [_record(Tombstone, row._asdict()) for row in rows]


def stage(connection: sa.Connection, volume_id: str) -> StageRecord | None:
    """Return the stage record of a volume; None when it is not staged here."""
    row = connection.execute(_STAGE, {"this": volume_id}).one_or_none()
    return None if row is None else _record(StageRecord, row._asdict())


def stages(connection: sa.Connection) -> list[StageRecord]:
    """Return all stage records by volume id."""
    rows = connection.execute(_STAGES)
    return [_record(StageRecord, row._asdict()) for row in rows]


def targets(connection: sa.Connection, *, volume_id: str = "") -> list[TargetRecord]:
    """Return the published paths of one volume, or of all."""
    t = schema.targets.c
    chosen = sa.select(schema.targets) if not volume_id else sa.select(schema.targets).where(t.volume_id == volume_id)
    rows = connection.execute(chosen.order_by(t.target_path))
    return [_record(TargetRecord, row._asdict()) for row in rows]


def unclaimed(connection: sa.Connection) -> list[Unclaimed]:
    """Return the volumes that were kept though nobody asked for them, and that nobody was let in to since."""
    m, v = schema.meta.c, schema.volumes.c
    rows = connection.execute(
        sa.select(v.volume_id, v.csi_name, v.capacity_bytes, v.tag, m.value)
        .join_from(schema.volumes, schema.meta, m.key == UNCLAIMED_META + v.backing)
        .where(v.state == "ready")
        .order_by(v.volume_id)
    )
    found = []
    for volume_id, csi_name, size, tag, value in rows:
        since, _, why = value.partition(" ")
        if never_let_in(tag):
            found.append(Unclaimed(volume_id, csi_name, size, float(since), why))
    return found


def last_incarnation(connection: sa.Connection) -> Incarnation | None:
    """Return the latest start of the driver on this journal."""
    i = schema.incarnations
    row = connection.execute(sa.select(i).order_by(i.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _record(Incarnation, row._asdict())


# Any: the values of a row are typed by the STRICT table, which mypy cannot see.
def _record(kind: type[R], row: Mapping[str, Any]) -> R:
    """Build a record from the columns of its name; SQLite keeps booleans as 0 and 1."""
    names: tuple[str, ...] = kind.__match_args__  # type: ignore[attr-defined]
    return kind(**{name: bool(row[name]) if name in _BOOLEANS else row[name] for name in names})


_BOOLEANS = frozenset({"ever_published", "formatted", "readonly"})


_PLAIN = tuple(one.name for one in fields(OperationRecord) if one.name not in ("request", "last_step", "steps"))


def _operation(row: Mapping[str, Any]) -> OperationRecord:
    last = None if row["name"] is None else Step(row["at"], row["name"], row["detail"])
    plain = {name: row[name] for name in _PLAIN}
    return OperationRecord(request=json.loads(row["request"]), last_step=last, **plain)
