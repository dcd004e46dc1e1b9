"""Prepared statements give SQLite what SQLAlchemy would, and return what is in the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.journal import queries, schema
from rdscsi.journal.engine import connect, make_engine
from rdscsi.journal.prepared import Prepared

TABLE = sa.Table("kept", sa.MetaData(), sa.Column("key", sa.Text), sa.Column("number", sa.Integer))
PUT = Prepared(sa.insert(TABLE), ("key", "number"))
BIG = Prepared(
    sa.select(TABLE).where(TABLE.c.number > 10, TABLE.c.key != sa.bindparam("other")).order_by(TABLE.c.number)
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.execute("CREATE TABLE kept (key TEXT, number INTEGER) STRICT")
        yield made


def test_values_of_its_own_and_of_the_caller_meet(connection: sqlite3.Connection) -> None:
    for key, number in (("a", 11), ("b", 12), ("c", 5), (None, 13)):
        PUT.run(connection, {"key": key, "number": number})
    assert BIG.all(connection, {"other": "a"}) == [{"key": "b", "number": 12}]
    assert BIG.one(connection, {"other": "b"}) == {"key": "a", "number": 11}
    assert BIG.one(connection, {"other": "a"}) == {"key": "b", "number": 12}
    with pytest.raises(sqlite3.ProgrammingError, match="other"):
        BIG.all(connection)


def test_one_ends_what_it_began(connection: sqlite3.Connection) -> None:
    for number in range(11, 20):
        PUT.run(connection, {"key": "a", "number": number})
    BIG.one(connection, {"other": "b"})
    connection.execute("DROP TABLE kept")  # SQLite refuses that while a statement reads the table


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
def test_what_goes_in_comes_out(key: str, number: int) -> None:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE kept (key TEXT, number INTEGER) STRICT")
        PUT.run(made, {"key": key, "number": number})
        assert Prepared(sa.select(TABLE)).all(made) == [{"key": key, "number": number}]


def test_what_is_open_is_found_without_walking_through_history(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    with make_engine(path).begin() as engine:
        schema.metadata.create_all(engine)
    with closing(connect(path, read_only=True)) as connection:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        assert queries.open_operations(connection) == []
        connection.set_trace_callback(None)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {seen[-1]}")]
    assert any("operations_one_open_per_subject" in step for step in plan), plan
