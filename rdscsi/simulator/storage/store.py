"""Records on disk: SQLite, one row an item, one transaction a change, so that a kill at any moment loses nothing.

WAL with synchronous=OFF: safe against the death of this process, and fast enough for thousands of changes a second;
only a crash of the host itself can cost the latest ones.
A power cycle of the simulated appliance is modelled above this, in `undo`.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


class StateDirectoryInUse(Exception):
    """Another simulator runs on the same state directory."""


class Store:
    """Rows of (kind, id, body) and single values."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateDirectoryInUse(f"{directory}: another simulator uses this state directory") from error
        self._db = sqlite3.connect(directory / "state.sqlite", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS item (kind TEXT, id INTEGER, body TEXT, PRIMARY KEY (kind, id))")
        self._db.execute("CREATE TABLE IF NOT EXISTS single (name TEXT PRIMARY KEY, body TEXT)")

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several changes or none. One inside another belongs to it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, kind: str, number: int, body: Mapping[str, Plain]) -> None:
        self._db.execute("INSERT OR REPLACE INTO item VALUES (?, ?, ?)", (kind, number, json.dumps(body)))

    def drop(self, kind: str, number: int) -> None:
        self._db.execute("DELETE FROM item WHERE kind = ? AND id = ?", (kind, number))

    def load(self, kind: str) -> list[tuple[int, dict[str, Plain]]]:
        rows = self._db.execute("SELECT id, body FROM item WHERE kind = ? ORDER BY id", (kind,))
        return [(number, json.loads(body)) for number, body in rows]

    def set_single(self, name: str, value: Plain) -> None:
        self._db.execute("INSERT OR REPLACE INTO single VALUES (?, ?)", (name, json.dumps(value)))

    def single(self, name: str) -> Plain:
        row = self._db.execute("SELECT body FROM single WHERE name = ?", (name,)).fetchone()
        found: Plain = json.loads(row[0]) if row else None
        return found
