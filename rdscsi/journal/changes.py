"""Changes to the journal's records. A change is applied inside a transaction of the journal, with others or alone.

They are given to `Journal.operation`, `Operation.record`, `Operation.finish` and `Journal.commit`.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from rdscsi.journal import schema
from rdscsi.journal.prepared import Prepared
from rdscsi.journal.records import SnapshotRecord, StageRecord, TargetRecord, Tombstone, VolumeRecord

RESERVED_META = "journal."  # keys that only the journal itself writes

_o = schema.operations.c
_SUPERSEDE = Prepared(
    sa.update(schema.operations)
    .where(_o.subject == sa.bindparam("about"), _o.state == schema.OPEN)
    .values(state="superseded", outcome=sa.bindparam("said"), closed_at=sa.bindparam("when"))
)

_FORMER = "former_"
_AMEND = Prepared(
    sa.update(schema.volumes).where(*(one == sa.bindparam(_FORMER + one.name) for one in schema.volumes.c)),
    [one.name for one in schema.volumes.c],
)
_snapshots = schema.snapshots.c
_JUDGE = Prepared(
    sa.update(schema.snapshots)
    .where(
        _snapshots.snapshot_id == sa.bindparam("this"),
        _snapshots.leaf == sa.bindparam("leaf_of"),
        _snapshots.state == "ready",
    )
    .values(quarantine=sa.bindparam("judged"))
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change, opaque to its users. `what` names it for people; `apply` runs in the journal's transaction."""

    what: str
    apply: Callable[[sqlite3.Connection], None]


def put_volume(record: VolumeRecord) -> Change:
    """Keep this record of a volume in place of any other."""
    return _put(f"put_volume {record.volume_id}", schema.volumes, asdict(record), "volume_id")


def add_volume(record: VolumeRecord) -> Change:
    """Keep this record unless there is one of that volume by now: what an inventory has learned yields to a call."""
    values = asdict(record)

    def apply(connection: sqlite3.Connection) -> None:
        _adding(schema.volumes, tuple(values)).run(connection, values)

    return Change(f"add_volume {record.volume_id}", apply)


def amend_volume(before: VolumeRecord, after: VolumeRecord) -> Change:
    """Keep `after` where the record still reads `before`; what an operation has committed meanwhile stands."""
    values = asdict(after) | {_FORMER + name: value for name, value in asdict(before).items()}

    def apply(connection: sqlite3.Connection) -> None:
        _AMEND.run(connection, values)

    return Change(f"amend_volume {before.volume_id}", apply)


def drop_volume(volume_id: str, tombstone: Tombstone | None) -> Change:
    """Forget a volume, leaving a tombstone where something of it could come back. Forgetting twice is no error."""
    buried = bury(tombstone) if tombstone is not None else None

    def apply(connection: sqlite3.Connection) -> None:
        _dropping(schema.volumes, "volume_id").run(connection, {"this": volume_id})
        if buried is not None:
            buried.apply(connection)

    return Change(f"drop_volume {volume_id}", apply)


def put_snapshot(record: SnapshotRecord) -> Change:
    """Keep this record of a snapshot in place of any other."""
    return _put(f"put_snapshot {record.snapshot_id}", schema.snapshots, asdict(record), "snapshot_id")


def add_snapshot(record: SnapshotRecord) -> Change:
    """Keep this record unless there is one of that snapshot by now."""
    values = asdict(record)

    def apply(connection: sqlite3.Connection) -> None:
        _adding(schema.snapshots, tuple(values)).run(connection, values)

    return Change(f"add_snapshot {record.snapshot_id}", apply)


def judge_snapshot(record: SnapshotRecord, quarantine: str) -> Change:
    """Keep what an inventory finds about a snapshot that is ready still, made by the same create."""
    values = {"this": record.snapshot_id, "leaf_of": record.leaf, "judged": quarantine}

    def apply(connection: sqlite3.Connection) -> None:
        _JUDGE.run(connection, values)

    return Change(f"judge_snapshot {record.snapshot_id}", apply)


def drop_snapshot(snapshot_id: str, tombstone: Tombstone | None) -> Change:
    """Forget a snapshot, leaving a tombstone where it could come back. Forgetting twice is no error."""
    buried = bury(tombstone) if tombstone is not None else None

    def apply(connection: sqlite3.Connection) -> None:
        _dropping(schema.snapshots, "snapshot_id").run(connection, {"this": snapshot_id})
        if buried is not None:
            buried.apply(connection)

    return Change(f"drop_snapshot {snapshot_id}", apply)


def put_stage(record: StageRecord) -> Change:
    """Keep this record of a staged volume in place of any other."""
    return _put(f"put_stage {record.volume_id}", schema.stages, asdict(record), "volume_id")


def drop_stage(volume_id: str) -> Change:
    """Forget that a volume is staged. Forgetting twice is no error."""

    def apply(connection: sqlite3.Connection) -> None:
        _dropping(schema.stages, "volume_id").run(connection, {"this": volume_id})

    return Change(f"drop_stage {volume_id}", apply)


def put_target(record: TargetRecord) -> Change:
    """Keep this record of a published path in place of any other."""
    return _put(f"put_target {record.target_path}", schema.targets, asdict(record), "target_path")


def drop_target(target_path: str) -> Change:
    """Forget a published path. Forgetting twice is no error."""

    def apply(connection: sqlite3.Connection) -> None:
        _dropping(schema.targets, "target_path").run(connection, {"this": target_path})

    return Change(f"drop_target {target_path}", apply)


def put_meta(key: str, value: str) -> Change:
    """Keep a value under a key. Raises ValueError for the journal's own keys (`journal.…`)."""
    if key.startswith(RESERVED_META):
        raise ValueError(f"meta key {key!r}: keys that begin with {RESERVED_META!r} are the journal's own")
    return _put(f"put_meta {key}", schema.meta, {"key": key, "value": value}, "key")


def drop_meta(key: str) -> Change:
    """Forget a value. Forgetting twice is no error."""

    def apply(connection: sqlite3.Connection) -> None:
        _dropping(schema.meta, "key").run(connection, {"this": key})

    return Change(f"drop_meta {key}", apply)


def supersede(subject: str, by: str, *, at: float) -> Change:
    """Close what is open for a subject, if anything is: `by` (a kind and an id) has ended the matter.

    For whoever runs as that subject's one operation, so that no live body finds its own operation closed.
    """

    def apply(connection: sqlite3.Connection) -> None:
        _SUPERSEDE.run(connection, {"about": subject, "said": f"superseded by {by}", "when": at})

    return Change(f"supersede {subject}", apply)


def bury(tombstone: Tombstone) -> Change:
    """Keep a tombstone: what bears that create's id is erased wherever it comes back."""
    return _put(f"bury {tombstone.volume_id}", schema.tombstones, asdict(tombstone), "volume_id", "backing")


def _put(what: str, table: sa.Table, values: "dict[str, object]", *key: str) -> Change:
    """Insert a row or replace all of it but its key."""
    statement = _putting(table, tuple(values), key)

    def apply(connection: sqlite3.Connection) -> None:
        statement.run(connection, values)

    return Change(what, apply)


@cache
def _dropping(table: sa.Table, key: str) -> Prepared:
    return Prepared(sa.delete(table).where(table.c[key] == sa.bindparam("this")))


@cache
def _adding(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    return Prepared(sqlite.insert(table).on_conflict_do_nothing(), columns)


@cache
def _putting(table: sa.Table, columns: tuple[str, ...], key: tuple[str, ...]) -> Prepared:
    inserted = sqlite.insert(table)
    rest = {column: inserted.excluded[column] for column in columns if column not in key}
    return Prepared(inserted.on_conflict_do_update(index_elements=key, set_=rest), columns)
