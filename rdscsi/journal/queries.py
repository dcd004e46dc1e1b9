"""Reads the journal's tables into records. Synchronous functions over a connection; who calls them owns the thread.

Used by `rdscsi.journal.journal` (the driver) and `rdscsi.journal.reading` (people, on a live file).
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from rdscsi.journal import schema
from rdscsi.journal.prepared import Prepared
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
    .where(_later.c.operation_id == _o.id, *(_later.c.name != own for own in OWN_STEPS))
    .correlate(schema.operations)
    .scalar_subquery()
)
_OPERATIONS = sa.select(schema.operations, _s.at, _s.name, _s.detail).select_from(
    schema.operations.outerjoin(schema.steps, _s.id == _LAST_STEP_ID)
)
_THIS = sa.bindparam("this", type_=sa.Text)
_OPEN = Prepared(
    # the plus keeps SQLite from walking all of history by its number instead of taking the index of what is open
    _OPERATIONS.where(_o.state == schema.OPEN).order_by(sa.literal_column("+operations.number"))
)
_STATE, _MOST = sa.bindparam("state", type_=sa.Text), sa.bindparam("most", type_=sa.Integer)
_LATEST = Prepared(_OPERATIONS.where(sa.or_(_STATE == "", _o.state == _STATE)).order_by(_o.number.desc()).limit(_MOST))
_ABOUT = Prepared(
    _OPERATIONS.where(sa.or_(_o.id == _THIS, _o.subject == _THIS))
    .order_by(_o.closed_at.is_not(None), _o.number.desc())
    .limit(_MOST)
)
_OPERATION = Prepared(_OPERATIONS.where(_o.id == _THIS))
_OPEN_OF = Prepared(_OPERATIONS.where(_o.subject == _THIS, _o.state == schema.OPEN))
_TRAIL = Prepared(sa.select(_s.at, _s.name, _s.detail).where(_s.operation_id == _THIS).order_by(_s.id))
_VOLUMES = Prepared(sa.select(schema.volumes).order_by(schema.volumes.c.volume_id))
_VOLUME = Prepared(sa.select(schema.volumes).where(schema.volumes.c.volume_id == _THIS))
_SNAPSHOTS = Prepared(sa.select(schema.snapshots).order_by(schema.snapshots.c.snapshot_id))
_SNAPSHOT = Prepared(sa.select(schema.snapshots).where(schema.snapshots.c.snapshot_id == _THIS))
_TOMBSTONES = Prepared(sa.select(schema.tombstones).order_by(schema.tombstones.c.number))
_STAGES = Prepared(sa.select(schema.stages).order_by(schema.stages.c.volume_id))
_TARGETS = Prepared(sa.select(schema.targets).order_by(schema.targets.c.target_path))
_TARGETS_OF = Prepared(
    sa.select(schema.targets).where(schema.targets.c.volume_id == _THIS).order_by(schema.targets.c.target_path)
)
_v, _m = schema.volumes.c, schema.meta.c
_UNCLAIMED = Prepared(
    sa.select(_v.volume_id, _v.csi_name, _v.capacity_bytes, _v.tag, _m.value)
    .join_from(schema.volumes, schema.meta, _m.key == UNCLAIMED_META + _v.backing)
    .where(_v.state == "ready")
    .order_by(_v.volume_id)
)
_LAST_START = Prepared(sa.select(schema.incarnations).order_by(schema.incarnations.c.id.desc()).limit(1))
_STAGE = Prepared(sa.select(schema.stages).where(schema.stages.c.volume_id == _THIS))


def open_operations(connection: sqlite3.Connection) -> list[OperationRecord]:
    """Return every open operation, oldest intent first: the order in which they are settled."""
    return [_operation(row) for row in _OPEN.all(connection)]


def open_operation(connection: sqlite3.Connection, subject: str) -> OperationRecord | None:
    """Return the open operation of a subject: there is one at most."""
    row = _OPEN_OF.one(connection, {"this": subject})
    return None if row is None else _operation(row)


def operations(connection: sqlite3.Connection, *, limit: int, state: OperationState | None) -> list[OperationRecord]:
    """Return operations, newest intent first."""
    rows = _LATEST.all(connection, {"most": limit, "state": state or ""})
    return [_operation(row) for row in rows]


def operations_about(connection: sqlite3.Connection, text: str, *, limit: int) -> list[OperationRecord]:
    """Return the operations whose id or subject is this text; the open one first, then newest first."""
    return [_operation(row) for row in _ABOUT.all(connection, {"this": text, "most": limit})]


def operation(connection: sqlite3.Connection, operation_id: str) -> OperationRecord | None:
    """Return one operation with all its steps."""
    row = _OPERATION.one(connection, {"this": operation_id})
    if row is None:
        return None
    trail = _TRAIL.run(connection, {"this": operation_id})
    return replace(_operation(row), steps=tuple(Step(*one) for one in trail))


def volume(connection: sqlite3.Connection, volume_id: str) -> VolumeRecord | None:
    """Return a volume's record; None when the journal has none (which says nothing about the appliance)."""
    row = _VOLUME.one(connection, {"this": volume_id})
    return None if row is None else _record(VolumeRecord, row)


def volumes(connection: sqlite3.Connection) -> list[VolumeRecord]:
    """Return all volumes by id."""
    return [_record(VolumeRecord, row) for row in _VOLUMES.all(connection)]


def snapshot(connection: sqlite3.Connection, snapshot_id: str) -> SnapshotRecord | None:
    """Return a snapshot's record; None when the journal has none (which says nothing about the appliance)."""
    row = _SNAPSHOT.one(connection, {"this": snapshot_id})
    return None if row is None else _record(SnapshotRecord, row)


def snapshots(connection: sqlite3.Connection) -> list[SnapshotRecord]:
    """Return all snapshots by id."""
    return [_record(SnapshotRecord, row) for row in _SNAPSHOTS.all(connection)]


def tombstones(connection: sqlite3.Connection) -> list[Tombstone]:
    """Return all tombstones, oldest first."""
    return [_record(Tombstone, row) for row in _TOMBSTONES.all(connection)]


def stage(connection: sqlite3.Connection, volume_id: str) -> StageRecord | None:
    """Return the stage record of a volume; None when it is not staged here."""
    row = _STAGE.one(connection, {"this": volume_id})
    return None if row is None else _record(StageRecord, row)


def stages(connection: sqlite3.Connection) -> list[StageRecord]:
    """Return all stage records by volume id."""
    return [_record(StageRecord, row) for row in _STAGES.all(connection)]


def targets(connection: sqlite3.Connection, *, volume_id: str = "") -> list[TargetRecord]:
    """Return the published paths of one volume, or of all."""
    rows = _TARGETS_OF.all(connection, {"this": volume_id}) if volume_id else _TARGETS.all(connection)
    return [_record(TargetRecord, row) for row in rows]


def unclaimed(connection: sqlite3.Connection) -> list[Unclaimed]:
    """Return the volumes that were kept though nobody asked for them, and that nobody was let in to since."""
    found = []
    for volume_id, csi_name, size, tag, value in _UNCLAIMED.run(connection):
        since, _, why = value.partition(" ")
        if never_let_in(tag):
            found.append(Unclaimed(volume_id, csi_name, size, float(since), why))
    return found


def last_incarnation(connection: sqlite3.Connection) -> Incarnation | None:
    """Return the latest start of the driver on this journal."""
    row = _LAST_START.one(connection)
    return None if row is None else _record(Incarnation, row)


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
