"""What the file at a journal's path is: ours and whole, ours and broken, a stranger's, or nothing yet.

A stranger's file is told by its header alone, before SQLite opens it: even a look could change it (a hot rollback
journal is played back by whoever reads). A journal of ours bears its mark from the first moment it has its name.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdscsi.errors import SettingsInvalid
from rdscsi.journal import migrations, schema

JOURNAL_ID_KEY = "journal.id"
_MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html, 1.3: the database header
_APPLICATION_ID = slice(68, 72)
_HEADER_BYTES = 100
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Broken(Exception):
    """The journal cannot be used, and no start will change that. The message says what is wrong with it."""


def no_journal(path: Path) -> SettingsInvalid:
    """Say that the file is something else, which is left as it is."""
    return SettingsInvalid([f"journal {path} is not a journal of rdscsi; nothing was changed in it"])


def recognise(path: Path, *, expected: bool) -> bool:
    """Tell whether a journal of ours is at the path, by its header; False when there is nothing yet.

    `expected`: there was one at an earlier start. Raises Broken when there should be one and what is there bears no
    mark of anybody, SettingsInvalid for a stranger's file.
    """
    if not path.exists():
        return False
    if not path.is_file():
        raise no_journal(path)
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if _is_ours(header):
        return True
    if header.startswith(_MAGIC) or (header and not expected):
        raise no_journal(path)
    if expected:
        raise Broken("its header is gone" if header else "it is empty")
    return False


@contextmanager
def telling_damage() -> Iterator[None]:
    """Raise Broken where SQLite says that the file is damaged. That it cannot be read now is another matter."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _DAMAGE:
            raise Broken(str(error)) from error
        raise


def check(connection: sqlite3.Connection, path: Path) -> str:
    """Look through the whole file; return the revision of its schema.

    Raises Broken, and SettingsInvalid when a newer version wrote it (which may know what this one takes for damage).
    """
    revision = _revision(connection)
    if revision > schema.HEAD:
        raise migrations.too_new(path, revision)
    damage = [row[0] for row in connection.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
    if damage:
        raise Broken("; ".join(" ".join(each.split()) for each in damage))
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if orphan:
        raise Broken(f"a row of {orphan[0]} has lost its parent in {orphan[2]}")
    if not connection.execute("SELECT count(*) FROM meta WHERE key = ?", (JOURNAL_ID_KEY,)).fetchone()[0]:
        raise Broken("its identity is lost")
    for number, request in connection.execute("SELECT number, request FROM operations"):
        _check_request(number, request)
    return revision


def _is_ours(header: bytes) -> bool:
    mark = int.from_bytes(header[_APPLICATION_ID], "big")
    return header.startswith(_MAGIC) and mark == schema.APPLICATION_ID


def _revision(connection: sqlite3.Connection) -> str:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= {"alembic_version", "meta", "operations", "incarnations"}:
        raise Broken("tables are missing")
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        raise Broken("the version of its schema is lost")
    return str(row[0])


def _check_request(number: int, request: str) -> None:
    """SQLite's own checks do not see a text that changed in place."""
    try:
        json.loads(request)
    except ValueError as error:
        raise Broken(f"the request of operation {number} is not readable: {error}") from error
