"""Statements that run often: compiled by SQLAlchemy once, then given to SQLite as they are.

SQLAlchemy's own way to run a statement costs several times what SQLite does, and the journal's are run dozens of times
in each call. Nothing is lost by it: the tables are STRICT, and text, integers and reals come out as they went in.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler

# Any: the values of a row are typed by the STRICT table, which mypy cannot see.
Row = dict[str, Any]

_DIALECT = sqlite.dialect(paramstyle="named")


class Prepared:
    """One statement, compiled when it is first run.

    `columns`: those that an INSERT, or an UPDATE without values of its own, is given.
    """

    __slots__ = ("_columns", "_given", "_sql", "_statement")

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._sql = ""
        self._given: Mapping[str, Any] = {}

    def run(self, connection: sqlite3.Connection, values: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        """Run it with these values for its parameters."""
        if not self._sql:
            self._compile()
        return connection.execute(self._sql, {**self._given, **values} if values else self._given)

    def one(self, connection: sqlite3.Connection, values: Mapping[str, Any] | None = None) -> Row | None:
        """Return the first row by the names of its columns; None when there is none. For what has one at most."""
        rows = self.all(connection, values)  # to its end: a statement that is not would hold its snapshot
        return rows[0] if rows else None

    def all(self, connection: sqlite3.Connection, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Return the rows by the names of their columns."""
        cursor = self.run(connection, values)
        names = _names(cursor)
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _compile(self) -> None:
        compiled = cast("sa.ClauseElement", self._statement).compile(
            dialect=_DIALECT,
            column_keys=None if self._columns is None else list(self._columns),
        )
        binds = cast("SQLCompiler", compiled).binds
        self._given = {name: bind.value for name, bind in binds.items() if not bind.required}
        self._sql = str(compiled)


def _names(cursor: sqlite3.Cursor) -> list[str]:
    return [one[0] for one in cursor.description]
