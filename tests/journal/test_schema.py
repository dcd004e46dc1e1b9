"""The tables: the same by both ways of making them, and strict enough to refuse what must never be in them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from journal_sample import SNAPSHOT, STAGE, TARGET, TOMBSTONE, VOLUME

from rdscsi.journal import migrations, records, schema
from rdscsi.journal.engine import make_engine


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sa.Connection]:
    (tmp_path / "migrated.db").touch()
    with make_engine(tmp_path / "migrated.db", foreign_keys=False).begin() as connection:
        migrations.migrate(connection)
        yield connection


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of the newest form with one start of the process and one open operation."""
    (tmp_path / "strict.db").touch()
    with make_engine(tmp_path / "strict.db", foreign_keys=False).begin() as connection:
        migrations.migrate(connection)
    with closing(sqlite3.connect(tmp_path / "strict.db", isolation_level=None)) as raw:
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute("INSERT INTO incarnations (pid, host, version, started_at) VALUES (1, 'h', '0', 1.0)")
        insert(raw, "operations", OPERATION)
        yield raw


OPERATION = {
    "id": "aaaaaaaaaaaaa",
    "kind": "create",
    "subject": "v/1",
    "request": "{}",
    "state": "open",
    "opened_at": 1.0,
    "closed_at": None,
    "incarnation": 1,
    "attempts": 1,
}
CLOSED = OPERATION | {"id": "ccccccccccccc", "state": "done", "closed_at": 2.0}


def insert(raw: sqlite3.Connection, table: str, row: "dict[str, object]") -> None:
    places = ", ".join(f":{column}" for column in row)
    raw.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)


def statements(connection: sa.Connection) -> dict[str, str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(sql.split()) for name, sql in rows if name != "sqlite_sequence"}


def test_migrations_end_where_the_schema_begins(migrated: sa.Connection, tmp_path: Path) -> None:
    (tmp_path / "made.db").touch()
    with make_engine(tmp_path / "made.db").begin() as made:
        migrations.make_newest(made)
        assert migrations.stored_revision(migrations.raw(made)) == schema.HEAD
        assert statements(migrated) == statements(made)


def test_alembic_finds_nothing_to_do(migrated: sa.Connection) -> None:
    context = MigrationContext.configure(migrated, opts={"compare_type": True})
    assert compare_metadata(context, schema.metadata) == []
    assert migrations.stored_revision(migrations.raw(migrated)) == schema.HEAD


def test_each_record_has_the_columns_of_its_table() -> None:
    for kind, table in (
        (records.VolumeRecord, schema.volumes),
        (records.SnapshotRecord, schema.snapshots),
        (records.StageRecord, schema.stages),
        (records.TargetRecord, schema.targets),
    ):
        assert list(kind.__dataclass_fields__) == [column.name for column in table.columns]


def test_every_table_is_strict(strict: sqlite3.Connection) -> None:
    rows = strict.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    loose = {name for name, is_strict in rows if not is_strict}
    assert loose == {"sqlite_schema", "sqlite_sequence", "alembic_version"}


def test_a_subject_has_one_open_operation_at_most(strict: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"operations\.subject"):
        insert(strict, "operations", OPERATION | {"id": "bbbbbbbbbbbbb"})
    insert(strict, "operations", CLOSED)
    insert(strict, "operations", CLOSED | {"id": "ddddddddddddd"})
    insert(strict, "operations", OPERATION | {"id": "eeeeeeeeeeeee", "subject": "v/2"})
    with pytest.raises(sqlite3.IntegrityError, match=r"operations\.subject"):
        strict.execute("UPDATE operations SET state = 'open', closed_at = NULL WHERE id = 'ccccccccccccc'")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"id": "short"}, "id_length"),
        ({"id": "aaaaaaaaaaaaa"}, r"operations\.id"),
        ({"subject": ""}, "subject_given"),
        ({"state": "undone"}, "state_known"),
        ({"state": "open"}, "closed_with_time"),
        ({"closed_at": None}, "closed_with_time"),
        ({"attempts": 0}, "attempted"),
        ({"incarnation": 2}, "FOREIGN KEY"),
        ({"kind": None}, "NOT NULL"),
        ({"opened_at": "yesterday"}, "REAL"),
        ({"attempts": 1.5}, "INTEGER"),
    ],
    ids=str,
)
def test_an_operation_that_makes_no_sense_is_refused(
    strict: sqlite3.Connection, wrong: "dict[str, object]", told: str
) -> None:
    insert(strict, "operations", CLOSED)
    strict.execute("DELETE FROM operations WHERE id = 'ccccccccccccc'")
    with pytest.raises(sqlite3.IntegrityError, match=told):
        insert(strict, "operations", CLOSED | wrong)


@pytest.mark.parametrize(
    ("table", "row", "wrong", "told"),
    [
        ("volumes", asdict(VOLUME), {"capacity_bytes": -1}, "capacity_bytes_positive"),
        ("volumes", asdict(VOLUME), {"state": "lost"}, "state_known"),
        ("volumes", asdict(VOLUME), {"ever_published": 2}, "ever_published_boolean"),
        ("volumes", asdict(VOLUME), {"tag": None}, "NOT NULL"),
        ("snapshots", asdict(SNAPSHOT), {"size_bytes": 0}, "size_bytes_positive"),
        ("snapshots", asdict(SNAPSHOT), {"state": "lost"}, "state_known"),
        ("stages", asdict(STAGE), {"size_bytes": -1}, "size_bytes_positive"),
        ("stages", asdict(STAGE), {"state": "lost"}, "state_known"),
        ("stages", asdict(STAGE), {"formatted": 2}, "formatted_boolean"),
        ("stages", asdict(STAGE), {"access_type": "tape"}, "access_type_known"),
        ("targets", asdict(TARGET), {"readonly": 7}, "readonly_boolean"),
        ("targets", asdict(TARGET), {"access_type": "tape"}, "access_type_known"),
        ("tombstones", asdict(TOMBSTONE), {"generation": "x"}, "INTEGER"),
        ("meta", {"key": "k", "value": "v"}, {"value": None}, "NOT NULL"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(
    strict: sqlite3.Connection, table: str, row: "dict[str, object]", wrong: "dict[str, object]", told: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=told):
        insert(strict, table, row | wrong)
    insert(strict, table, row)


def test_steps_go_with_their_operation_and_need_one(strict: sqlite3.Connection) -> None:
    step = {"operation_id": "aaaaaaaaaaaaa", "at": 1.0, "name": "n"}
    insert(strict, "steps", step)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        insert(strict, "steps", step | {"operation_id": "zzzzzzzzzzzzz"})
    strict.execute("DELETE FROM operations")
    assert strict.execute("SELECT count(*) FROM steps").fetchone() == (0,)


def test_the_looks_that_are_taken_often_use_an_index(strict: sqlite3.Connection) -> None:
    for query in (
        "SELECT * FROM operations WHERE subject = 'x' AND state = 'open'",
        "SELECT * FROM operations WHERE state <> 'open' ORDER BY closed_at",
        "SELECT * FROM steps WHERE operation_id = 'x' ORDER BY id",
        "SELECT * FROM targets WHERE volume_id = 'x'",
    ):
        plan = " ".join(str(row[3]) for row in strict.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "USING" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
