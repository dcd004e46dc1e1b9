"""Changes to the journal's records. A change is applied inside a transaction of the journal, with others or alone.

They are given to `Journal.operation`, `Operation.record`, `Operation.finish` and `Journal.commit`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from rdscsi.journal import schema
from rdscsi.journal.records import SnapshotRecord, StageRecord, TargetRecord, Tombstone, VolumeRecord

RESERVED_META = "journal."  # keys that only the journal itself writes


@dataclass(frozen=True, slots=True)
class Change:
    """One change, opaque to its users. `what` names it for people; `apply` runs in the journal's transaction."""

    what: str
    apply: Callable[[sa.Connection], None]


def put_volume(record: VolumeRecord) -> Change:
    """Keep this record of a volume in place of any other."""
    return _put(f"put_volume {record.volume_id}", schema.volumes, asdict(record), "volume_id")


def add_volume(record: VolumeRecord) -> Change:
    """Keep this record unless there is one of that volume by now: what an inventory has learned yields to a call."""
    statement = sqlite.insert(schema.volumes).values(asdict(record)).on_conflict_do_nothing()

    def apply(connection: sa.Connection) -> None:
        connection.execute(statement)

    return Change(f"add_volume {record.volume_id}", apply)


def amend_volume(before: VolumeRecord, after: VolumeRecord) -> Change:
    """Keep `after` where the record still reads `before`; what an operation has committed meanwhile stands."""
    columns = schema.volumes.c
    same = sa.and_(*(columns[name] == value for name, value in asdict(before).items()))
    statement = sa.update(schema.volumes).where(same).values(asdict(after))

    def apply(connection: sa.Connection) -> None:
        connection.execute(statement)

    return Change(f"amend_volume {before.volume_id}", apply)


def drop_volume(volume_id: str, tombstone: Tombstone | None) -> Change:
    """Forget a volume, leaving a tombstone where something of it could come back. Forgetting twice is no error."""
    buried = bury(tombstone) if tombstone is not None else None

    def apply(connection: sa.Connection) -> None:
        connection.execute(sa.delete(schema.volumes).where(schema.volumes.c.volume_id == volume_id))
        if buried is not None:
            buried.apply(connection)

    return Change(f"drop_volume {volume_id}", apply)


def put_snapshot(record: SnapshotRecord) -> Change:
    """Keep this record of a snapshot in place of any other."""
    return _put(f"put_snapshot {record.snapshot_id}", schema.snapshots, asdict(record), "snapshot_id")


def add_snapshot(record: SnapshotRecord) -> Change:
    """Keep this record unless there is one of that snapshot by now."""
    statement = sqlite.insert(schema.snapshots).values(asdict(record)).on_conflict_do_nothing()

    def apply(connection: sa.Connection) -> None:
        connection.execute(statement)

    return Change(f"add_snapshot {record.snapshot_id}", apply)


def judge_snapshot(record: SnapshotRecord, quarantine: str) -> Change:
    """Keep what an inventory finds about a snapshot that is ready still, made by the same create."""
    columns = schema.snapshots.c
    same = sa.and_(columns.snapshot_id == record.snapshot_id, columns.leaf == record.leaf, columns.state == "ready")
    statement = sa.update(schema.snapshots).where(same).values(quarantine=quarantine)

    def apply(connection: sa.Connection) -> None:
        connection.execute(statement)

    return Change(f"judge_snapshot {record.snapshot_id}", apply)


def drop_snapshot(snapshot_id: str, tombstone: Tombstone | None) -> Change:
    """Forget a snapshot, leaving a tombstone where it could come back. Forgetting twice is no error."""
    buried = bury(tombstone) if tombstone is not None else None

    def apply(connection: sa.Connection) -> None:
        connection.execute(sa.delete(schema.snapshots).where(schema.snapshots.c.snapshot_id == snapshot_id))
        if buried is not None:
            buried.apply(connection)

    return Change(f"drop_snapshot {snapshot_id}", apply)


def put_stage(record: StageRecord) -> Change:
    """Keep this record of a staged volume in place of any other."""
    return _put(f"put_stage {record.volume_id}", schema.stages, asdict(record), "volume_id")


def drop_stage(volume_id: str) -> Change:
    """Forget that a volume is staged. Forgetting twice is no error."""

    def apply(connection: sa.Connection) -> None:
        connection.execute(sa.delete(schema.stages).where(schema.stages.c.volume_id == volume_id))

    return Change(f"drop_stage {volume_id}", apply)


def put_target(record: TargetRecord) -> Change:
    """Keep this record of a published path in place of any other."""
    return _put(f"put_target {record.target_path}", schema.targets, asdict(record), "target_path")


def drop_target(target_path: str) -> Change:
    """Forget a published path. Forgetting twice is no error."""

    def apply(connection: sa.Connection) -> None:
        connection.execute(sa.delete(schema.targets).where(schema.targets.c.target_path == target_path))

    return Change(f"drop_target {target_path}", apply)


def put_meta(key: str, value: str) -> Change:
    """Keep a value under a key. Raises ValueError for the journal's own keys (`journal.…`)."""
    if key.startswith(RESERVED_META):
        raise ValueError(f"meta key {key!r}: keys that begin with {RESERVED_META!r} are the journal's own")
    return _put(f"put_meta {key}", schema.meta, {"key": key, "value": value}, "key")


def bury(tombstone: Tombstone) -> Change:
    """Keep a tombstone: what bears that create's id is erased wherever it comes back."""
    return _put(f"bury {tombstone.volume_id}", schema.tombstones, asdict(tombstone), "volume_id", "backing")


def _put(what: str, table: sa.Table, values: "dict[str, object]", *key: str) -> Change:
    """Insert a row or replace all of it but its key."""
    rest = {column: value for column, value in values.items() if column not in key}
    statement = sqlite.insert(table).values(values).on_conflict_do_update(index_elements=key, set_=rest)

    def apply(connection: sa.Connection) -> None:
        connection.execute(statement)

    return Change(what, apply)
