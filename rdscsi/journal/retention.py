"""Keeps the journal's size bounded: closed operations with their steps, starts of the process, tombstones.

Open operations, volumes and stages are never touched; the trail of an operation that is taken up again and again is
thinned in its middle. Work comes in small batches that ride with other transactions, so that nobody waits for it.
"""

import math
import sqlite3
from dataclasses import dataclass

import sqlalchemy as sa

from rdscsi.journal import schema
from rdscsi.journal.prepared import Prepared

_DAY = 24 * 3600.0
_o, _s, _i, _t = schema.operations.c, schema.steps.c, schema.incarnations.c, schema.tombstones.c


_FIRST_STEPS, _LATEST_STEPS = 20, 200
_mine = sa.select(_s.id).where(_s.operation_id == sa.bindparam("of"))
_THIN_TRAIL = Prepared(
    sa.delete(schema.steps).where(
        _s.operation_id == sa.bindparam("of"),
        _s.id.not_in(_mine.order_by(_s.id).limit(_FIRST_STEPS)),
        _s.id.not_in(_mine.order_by(_s.id.desc()).limit(_LATEST_STEPS)),
    )
)

_keep, _batch = sa.bindparam("keep", type_=sa.Integer), sa.bindparam("batch", type_=sa.Integer)
_surplus = (
    sa.select(_o.closed_at)
    .where(_o.state != schema.OPEN)
    .order_by(_o.closed_at.desc())
    .offset(_keep)
    .limit(1)
    .scalar_subquery()
)
_oldest_kept = sa.func.max(sa.bindparam("oldest", type_=sa.REAL), sa.func.coalesce(_surplus, 0.0))
_doomed = sa.select(_o.number).where(_o.state != schema.OPEN, _o.closed_at <= _oldest_kept).order_by(_o.closed_at)
_PRUNE_OPERATIONS = Prepared(sa.delete(schema.operations).where(_o.number.in_(_doomed.limit(_batch))))
_newest = sa.select(_i.id).order_by(_i.id.desc()).limit(_keep)
_unnamed = sa.select(_i.id).where(_i.id.not_in(_newest), _i.id.not_in(sa.select(_o.incarnation)))
_PRUNE_INCARNATIONS = Prepared(sa.delete(schema.incarnations).where(_i.id.in_(_unnamed.limit(_batch))))
_PRUNE_TOMBSTONES = Prepared(
    sa.delete(schema.tombstones).where(
        _t.number.in_(sa.select(_t.number).order_by(_t.number.desc()).offset(_keep).limit(_batch))
    )
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept, and how much is removed in one go.

    `bytes` is what the file may hold in all: beyond it closed operations go, whatever their number or age.
    """

    closed_operations: int = 10_000
    closed_seconds: float = 30 * _DAY
    incarnations: int = 1_000
    tombstones: int = 100_000
    bytes: int = 64 << 20
    batch: int = 500


def prune(connection: sqlite3.Connection, retention: Retention, now: float) -> None:
    """Remove one batch of history. It keeps up when called once for every `batch` operations opened, or sooner."""
    _prune_operations(connection, retention, now)
    _prune_incarnations(connection, retention)
    _prune_tombstones(connection, retention)


def thin_trail(connection: sqlite3.Connection, operation_id: str) -> None:
    """Keep the first and the latest steps of an operation: it may be retried for days."""
    _THIN_TRAIL.run(connection, {"of": operation_id})


def _prune_operations(connection: sqlite3.Connection, retention: Retention, now: float) -> None:
    """Remove what is too old, or older than the newest so many. Steps go with their operation (cascade)."""
    oldest = math.inf if _bytes_used(connection) > retention.bytes else now - retention.closed_seconds
    values = {"oldest": oldest, "keep": retention.closed_operations, "batch": retention.batch}
    _PRUNE_OPERATIONS.run(connection, values)


def _bytes_used(connection: sqlite3.Connection) -> int:
    """Return the size of all pages in use. The file itself keeps the size that it once had."""
    page_count, free, page_size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (page_count - free) * page_size


def _prune_incarnations(connection: sqlite3.Connection, retention: Retention) -> None:
    """Remove old starts that no operation names."""
    _PRUNE_INCARNATIONS.run(connection, {"keep": retention.incarnations, "batch": retention.batch})


def _prune_tombstones(connection: sqlite3.Connection, retention: Retention) -> None:
    _PRUNE_TOMBSTONES.run(connection, {"keep": retention.tombstones, "batch": retention.batch})
