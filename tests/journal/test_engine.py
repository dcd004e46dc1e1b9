"""How a journal file is opened: transactions as SQLite means them, and errors as SQLAlchemy tells them."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from rdscsi.journal.engine import make_engine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.db"
    sqlite3.connect(path).close()
    return path


@pytest.mark.parametrize("read_only", [False, True])
def test_a_transaction_that_cannot_begin_is_an_error_of_the_database(file: Path, read_only: bool) -> None:
    with make_engine(file, read_only=read_only).connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.close()
        with pytest.raises(sa.exc.DBAPIError, match="closed database"), connection.begin():
            raise AssertionError
        connection.invalidate()


def test_who_writes_knows_at_the_beginning_that_nobody_else_does(file: Path) -> None:
    with make_engine(file).connect() as writing, sqlite3.connect(file, timeout=0, isolation_level=None) as other:
        with writing.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")
    other.close()


def test_who_only_reads_stands_in_nobodys_way_and_cannot_write(file: Path) -> None:
    with make_engine(file, read_only=True).connect() as reading, reading.begin():
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            reading.exec_driver_sql("CREATE TABLE t (c)")
        with sqlite3.connect(file, timeout=0) as other:
            other.execute("CREATE TABLE t (c)")
        other.close()
