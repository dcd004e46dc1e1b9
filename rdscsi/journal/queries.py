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
    Incarnation,
    OperationRecord,
    OperationState,
    SnapshotRecord,
    StageRecord,
    Step,
    TargetRecord,
    Tombstone,
    VolumeRecord,
)

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


def open_operations(connection: sa.Connection) -> list[OperationRecord]:
    """Return every open operation, oldest intent first: the order in which they are settled."""
    rows = connection.execute(_OPERATIONS.where(_o.state == "open").order_by(_o.number))
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
    row = connection.execute(_OPERATIONS.where(_o.id == operation_id)).one_or_none()
    if row is None:
        return None
    trail = connection.execute(
        sa.select(_s.at, _s.name, _s.detail).where(_s.operation_id == operation_id).order_by(_s.id)
    )
    return replace(_operation(row._asdict()), steps=tuple(Step(*one) for one in trail))


def volume(connection: sa.Connection, volume_id: str) -> VolumeRecord | None:
    """Return a volume's record; None when the journal has none (which says nothing about the appliance)."""
    v = schema.volumes.c
    row = connection.execute(sa.select(schema.volumes).where(v.volume_id == volume_id)).one_or_none()
    return None if row is None else _record(VolumeRecord, row._asdict())


def volumes(connection: sa.Connection) -> list[VolumeRecord]:
    """Return all volumes by id."""
    rows = connection.execute(sa.select(schema.volumes).order_by(schema.volumes.c.volume_id))
    return [_record(VolumeRecord, row._asdict()) for row in rows]


def snapshot(connection: sa.Connection, snapshot_id: str) -> SnapshotRecord | None:
    """Return a snapshot's record; None when the journal has none (which says nothing about the appliance)."""
    s = schema.snapshots.c
    row = connection.execute(sa.select(schema.snapshots).where(s.snapshot_id == snapshot_id)).one_or_none()
    return None if row is None else _record(SnapshotRecord, row._asdict())


def snapshots(connection: sa.Connection) -> list[SnapshotRecord]:
    """Return all snapshots by id."""
    rows = connection.execute(sa.select(schema.snapshots).order_by(schema.snapshots.c.snapshot_id))
    return [_record(SnapshotRecord, row._asdict()) for row in rows]


def tombstones(connection: sa.Connection) -> list[Tombstone]:
    """Return all tombstones, oldest first."""
    rows = connection.execute(sa.select(schema.tombstones).order_by(schema.tombstones.c.number))
    return [_record(Tombstone, row._asdict()) for row in rows]


def stage(connection: sa.Connection, volume_id: str) -> StageRecord | None:
    """Return the stage record of a volume; None when it is not staged here."""
    s = schema.stages.c
    row = connection.execute(sa.select(schema.stages).where(s.volume_id == volume_id)).one_or_none()
    return None if row is None else _record(StageRecord, row._asdict())


def stages(connection: sa.Connection) -> list[StageRecord]:
    """Return all stage records by volume id."""
    rows = connection.execute(sa.select(schema.stages).order_by(schema.stages.c.volume_id))
    return [_record(StageRecord, row._asdict()) for row in rows]


def targets(connection: sa.Connection, *, volume_id: str = "") -> list[TargetRecord]:
    """Return the published paths of one volume, or of all."""
    t = schema.targets.c
    chosen = sa.select(schema.targets) if not volume_id else sa.select(schema.targets).where(t.volume_id == volume_id)
    rows = connection.execute(chosen.order_by(t.target_path))
    return [_record(TargetRecord, row._asdict()) for row in rows]


def last_incarnation(connection: sa.Connection) -> Incarnation | None:
    """Return the latest start of the driver on this journal."""
    i = schema.incarnations
    row = connection.execute(sa.select(i).order_by(i.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _record(Incarnation, row._asdict())


# Any: the values of a row are typed by the STRICT table, which mypy cannot see.
def _record(kind: type[R], row: Mapping[str, Any]) -> R:
    """Build a record from the columns of its name; SQLite keeps booleans as 0 and 1."""
    values = {one.name: row[one.name] for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: bool(value) if name in _BOOLEANS else value for name, value in values.items()})


_BOOLEANS = frozenset({"ever_published", "formatted", "readonly"})


_PLAIN = tuple(one.name for one in fields(OperationRecord) if one.name not in ("request", "last_step", "steps"))


def _operation(row: Mapping[str, Any]) -> OperationRecord:
    last = None if row["name"] is None else Step(row["at"], row["name"], row["detail"])
    plain = {name: row[name] for name in _PLAIN}
    return OperationRecord(request=json.loads(row["request"]), last_step=last, **plain)
