"""How a journal file is opened, and transactions as SQLite means them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rdscsi.journal.engine import READ, WRITE, connect, transaction


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE kept (value INTEGER UNIQUE)")
    return path


def kept(file: Path) -> list[int]:
    with closing(connect(file, read_only=True)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


def test_what_the_body_wrote_is_committed(file: Path) -> None:
    with closing(connect(file)) as connection, transaction(connection, begin=WRITE):
        connection.execute("INSERT INTO kept VALUES (1)")
    assert kept(file) == [1]


def test_an_error_of_the_body_takes_it_back(file: Path) -> None:
    with closing(connect(file)) as connection:
        with pytest.raises(KeyError), transaction(connection, begin=WRITE):
            connection.execute("INSERT INTO kept VALUES (1)")
            raise KeyError
        assert not connection.in_transaction
    assert kept(file) == []


def test_an_error_that_made_sqlite_undo_it_passes_as_it_is(file: Path) -> None:
    with closing(connect(file)) as connection:
        with pytest.raises(sqlite3.IntegrityError), transaction(connection, begin=WRITE):
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.execute("INSERT OR ROLLBACK INTO kept VALUES (1)")
        assert not connection.in_transaction


def test_a_commit_that_fails_takes_it_back(file: Path) -> None:
    def allow(action: int, what: str | None, *_others: object) -> int:
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    with closing(connect(file)) as connection:
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"), transaction(connection, begin=WRITE):
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.set_authorizer(allow)
        assert not connection.in_transaction
    assert kept(file) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_transaction_that_cannot_begin_is_an_error_of_the_database(file: Path, read_only: bool) -> None:
    connection = connect(file, read_only=read_only)
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"), transaction(connection, begin=READ):
        raise AssertionError


def test_who_writes_knows_at_the_beginning_that_nobody_else_does(file: Path) -> None:
    with closing(connect(file)) as writing, closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
        with transaction(writing, begin=WRITE), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")


def test_who_only_reads_stands_in_nobodys_way_and_cannot_write(file: Path) -> None:
    with closing(connect(file, read_only=True)) as reading, transaction(reading, begin=READ):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reading.execute("CREATE TABLE t (c)")
        with closing(sqlite3.connect(file, timeout=0)) as other:
            other.execute("CREATE TABLE t (c)")


def test_all_that_one_transaction_reads_is_of_one_moment(file: Path) -> None:
    with closing(connect(file)) as writing, closing(connect(file, read_only=True)) as reading:
        writing.execute("PRAGMA journal_mode=WAL")
        with transaction(reading, begin=READ):
            assert reading.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            writing.execute("INSERT INTO kept VALUES (1)")
            assert reading.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert reading.execute("SELECT count(*) FROM kept").fetchone() == (1,)
