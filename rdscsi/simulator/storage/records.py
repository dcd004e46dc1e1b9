"""Configuration that is merely kept: rows of menus such as `/user`, by path and number, written through.

A row is a dict of plain values. What the rows mean is known in `menus.records` and where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping

from rdscsi.simulator.storage.store import Plain, Store
from rdscsi.simulator.storage.undo import UndoLog

Row = Mapping[str, Plain]


class Records:
    """All kept rows. Numbers rise and are not used twice."""

    def __init__(self, store: Store, undo: UndoLog) -> None:
        self._store = store
        self._undo = undo
        self._tables: dict[str, dict[int, Row]] = {}
        self._next: dict[str, int] = {}
        self.revision = 0
        """Rises with each change, for those who remember what they read."""

    def _table(self, path: str) -> dict[int, Row]:
        table = self._tables.get(path)
        if table is None:
            table = self._tables[path] = dict(self._store.load(path))
            self._next[path] = int(str(self._store.single(f"next {path}") or 1))
        return table

    def rows(self, path: str) -> dict[int, Row]:
        """The rows of a menu by number, in order; not to be changed."""
        return self._table(path)

    def add(self, path: str, row: Row) -> int:
        """Add a row; its number."""
        self._table(path)
        number = self._next[path]
        self._next[path] = number + 1
        self._store.set_single(f"next {path}", number + 1)
        self.put(path, number, row)
        return number

    def put(self, path: str, number: int, row: Row | None) -> None:
        """Change a row, or drop it."""
        before = self._table(path).get(number)
        self._apply(path, number, row)
        self._undo.record("config", lambda: self._apply(path, number, before))

    def _apply(self, path: str, number: int, row: Row | None) -> None:
        table = self._table(path)
        self.revision += 1
        if row is None:
            table.pop(number, None)
            self._store.drop(path, number)
        else:
            table[number] = dict(row)
            self._tables[path] = dict(sorted(table.items()))
            self._store.put(path, number, row)

    def seed(self, path: str, rows: tuple[Row, ...]) -> None:
        """Put the rows there that a new state directory comes with; an existing menu stays as it is."""
        if self._store.single(f"next {path}") is None:
            for number, row in enumerate(rows, start=1):
                self._store.put(path, number, row)
            self._store.set_single(f"next {path}", len(rows) + 1)

    def settings(self, path: str) -> Row:
        """The values that were set in a menu without items."""
        kept = self._store.single(path)
        return kept if isinstance(kept, dict) else {}

    def set(self, path: str, values: Row) -> None:
        """Keep the values of a menu without items."""
        before = self.settings(path)
        self._store.set_single(path, dict(values))
        self.revision += 1
        self._undo.record("config", lambda: self._store.set_single(path, dict(before)))
