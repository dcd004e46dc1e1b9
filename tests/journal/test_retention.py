"""History is bounded in every way; what is open, and what exists, is never forgotten."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from journal_sample import VOLUME

from rdscsi.journal import Retention, changes, migrations, queries, schema
from rdscsi.journal.engine import WRITE, connect, make_engine, transaction
from rdscsi.journal.prepared import Prepared
from rdscsi.journal.retention import prune, thin_trail

DAY = 24 * 3600.0


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (tmp_path / "journal.db").touch()
    with make_engine(tmp_path / "journal.db", foreign_keys=False).begin() as made:
        migrations.migrate(made)
    with closing(connect(tmp_path / "journal.db")) as opened:
        yield opened


def add(
    connection: sqlite3.Connection, number: int, *, closed_at: float | None, steps: int = 1, incarnation: int = 1
) -> str:
    identity = f"{number:013d}"
    row = {
        "id": identity,
        "kind": "create",
        "subject": f"v/{number}",
        "request": "{}",
        "state": "open" if closed_at is None else "done",
        "opened_at": 0.0,
        "closed_at": closed_at,
        "incarnation": incarnation,
        "attempts": 1,
    }
    Prepared(sa.insert(schema.operations), tuple(row)).run(connection, row)
    for step in range(steps):
        values = (identity, float(step), f"step {step}")
        connection.execute("INSERT INTO steps (operation_id, at, name) VALUES (?, ?, ?)", values)
    return identity


def start(connection: sqlite3.Connection, count: int = 1) -> None:
    for _ in range(count):
        values = {"pid": 1, "host": "h", "version": "0", "started_at": 1.0}
        Prepared(sa.insert(schema.incarnations), tuple(values)).run(connection, values)


def subjects(connection: sqlite3.Connection) -> list[int]:
    return sorted(int(one.subject[2:]) for one in queries.operations(connection, limit=10_000, state=None))


def count(connection: sqlite3.Connection, table: sa.Table) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])


def test_the_newest_closed_operations_stay(connection: sqlite3.Connection) -> None:
    start(connection)
    for number in range(20):
        add(connection, number, closed_at=100.0 + number)
    prune(connection, Retention(closed_operations=5), now=200.0)
    assert subjects(connection) == [15, 16, 17, 18, 19]
    assert count(connection, schema.steps) == 5


def test_old_ones_go_however_few_they_are(connection: sqlite3.Connection) -> None:
    start(connection)
    for number in range(4):
        add(connection, number, closed_at=number * DAY)
    prune(connection, Retention(closed_seconds=2 * DAY), now=3.5 * DAY)
    assert subjects(connection) == [2, 3]


def test_open_ones_stay_however_old_they_are(connection: sqlite3.Connection) -> None:
    start(connection)
    for number in range(4):
        add(connection, number, closed_at=None if number < 2 else 1.0)
    prune(connection, Retention(closed_operations=0, closed_seconds=0, bytes=0), now=1000 * DAY)
    assert subjects(connection) == [0, 1]
    assert count(connection, schema.steps) == 2


def test_it_goes_in_batches(connection: sqlite3.Connection) -> None:
    start(connection)
    for number in range(20):
        add(connection, number, closed_at=float(number))
    small = Retention(closed_operations=0, batch=8)
    for left in (12, 4, 0, 0):
        prune(connection, small, now=50.0)
        assert len(subjects(connection)) == left


def test_a_file_that_grows_too_large_loses_history_before_its_time(connection: sqlite3.Connection) -> None:
    start(connection)
    with transaction(connection, begin=WRITE):  # one by one they would wait for the disk thousands of times
        for number in range(400):
            add(connection, number, closed_at=float(number), steps=20)
    bound = 300 << 10
    for _ in range(40):
        prune(connection, Retention(bytes=bound, batch=20), now=500.0)
    left = subjects(connection)
    assert 0 < len(left) < 300
    assert left == list(range(400 - len(left), 400))
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    assert (pages - free) * 4096 <= bound


def test_starts_that_no_operation_names_go(connection: sqlite3.Connection) -> None:
    start(connection, 10)
    add(connection, 1, closed_at=None, incarnation=2)
    prune(connection, Retention(incarnations=3), now=1.0)
    assert [number for (number,) in connection.execute("SELECT id FROM incarnations")] == [2, 8, 9, 10]


def test_the_oldest_tombstones_go(connection: sqlite3.Connection) -> None:
    for number in range(10):
        values = {"volume_id": f"v/{number}", "slot": "s", "backing": "b", "generation": 1, "deleted_at": 1.0}
        Prepared(sa.insert(schema.tombstones), tuple(values)).run(connection, values)
    prune(connection, Retention(tombstones=4), now=1.0)
    assert [stone.volume_id for stone in queries.tombstones(connection)] == ["v/6", "v/7", "v/8", "v/9"]


def test_volumes_are_never_forgotten(connection: sqlite3.Connection) -> None:
    for number in range(50):
        changes.put_volume(replace(VOLUME, volume_id=f"v/{number}", updated_at=0.0)).apply(connection)
    nothing = Retention(closed_operations=0, closed_seconds=0, incarnations=0, tombstones=0, bytes=0)
    prune(connection, nothing, now=1000 * DAY)
    assert count(connection, schema.volumes) == 50


def test_a_trail_is_thinned_in_its_middle(connection: sqlite3.Connection) -> None:
    start(connection)
    one, other = add(connection, 1, closed_at=None, steps=300), add(connection, 2, closed_at=None, steps=3)
    thin_trail(connection, one)
    thin_trail(connection, other)
    kept = queries.operation(connection, one)
    assert kept is not None
    assert [step.at for step in kept.steps] == [*range(20), *range(100, 300)]
    assert count(connection, schema.steps) == 223


@pytest.mark.parametrize("steps", [0, 219, 220, 221])
def test_a_short_trail_is_left_alone(connection: sqlite3.Connection, steps: int) -> None:
    start(connection)
    thin_trail(connection, add(connection, 1, closed_at=None, steps=steps))
    assert count(connection, schema.steps) == min(steps, 220)
