"""The SQLite file: how it is opened, made, checked and closed. What is written into it is not decided here.

WAL with synchronous=FULL: a transaction that was acknowledged survives a power loss. One connection writes, a second
one reads, each used by one thread at a time (`rdscsi.journal.threads`). Only one process at a time (`lock`). A start:
recognise (`health`), put aside what is broken, check, copy (`backups`), upgrade (`migrations`), note the start.
"""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from rdscsi import __version__
from rdscsi.errors import SettingsInvalid
from rdscsi.journal import backups, files, health, lock, migrations, schema
from rdscsi.journal.ballast import Ballast
from rdscsi.journal.engine import WRITE, connect, make_engine, transaction
from rdscsi.journal.faults import is_full, speaking_of
from rdscsi.journal.health import JOURNAL_ID_KEY
from rdscsi.journal.lock import Lock
from rdscsi.journal.prepared import Prepared
from rdscsi.observe import logs

SET_ASIDE_KEY = "journal.set-aside"

T = TypeVar("T")

_START = Prepared(sa.insert(schema.incarnations), ("pid", "host", "version", "started_at"))
_META = Prepared(sa.select(schema.meta.c.value).where(schema.meta.c.key == sa.bindparam("of")))

_log = logs.get_log()


@dataclass(frozen=True, slots=True)
class Precautions:
    """What a journal keeps for bad days: at most `backups` copies of itself, one in `backup_seconds`; and ballast."""

    backups: int = 5
    backup_seconds: float = 3600.0
    ballast_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class _Found:
    """What a start finds: a journal to go on with, or none, then with what became of a former one, in words."""

    usable: bool
    set_aside: Path | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """An open journal file: its two connections, its identity, the number of this start, and what became of the last.

    `fresh`: this start made it. `set_aside`: where this start put a journal that it could not use.
    """

    writing: sqlite3.Connection
    reading: sqlite3.Connection
    ballast: Ballast
    journal_id: str
    incarnation: int
    fresh: bool
    set_aside: Path | None

    def close(self) -> None:
        """Close both; the last one folds the write-ahead log back into the file."""
        self.reading.close()
        self.writing.close()


def open_store(
    path: Path, held: Lock, *, now: Callable[[], float], new_id: Callable[[], str], precautions: Precautions
) -> Store:
    """Open the journal, making, replacing or upgrading it as needed, and note this start of the process.

    Raises SettingsInvalid for a file that is no journal or too new, and JournalFailed when it cannot be read or
    written. A full disk costs the ballast first.
    """
    ballast = Ballast(path, size=precautions.ballast_bytes, now=now)
    with speaking_of(path):
        found = _spending(ballast, partial(_usable, path, held, now(), precautions))
        return _spending(ballast, partial(_opened, path, held, ballast, now(), new_id, found))


@contextmanager
def hold(path: Path) -> Iterator[Lock]:
    """Hold the journal's lock. Raises JournalFailed when another process has it, SettingsInvalid for a bad path."""
    with ExitStack() as stack:
        with speaking_of(path):
            held = stack.enter_context(lock.exclusive(path))
        yield held


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value of the meta table."""
    row = _META.one(connection, {"of": key})
    return None if row is None else str(row["value"])


def _spending(ballast: Ballast, job: Callable[[], T]) -> T:
    """Do a job that may be repeated; when the disk is full, once more with the ballast's space."""
    try:
        return job()
    except (OSError, sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        if not (is_full(error) and ballast.release()):
            raise
    return job()


def _opened(path: Path, held: Lock, ballast: Ballast, now: float, new_id: Callable[[], str], found: _Found) -> Store:
    if not found.usable and not path.exists():
        _make(path, new_id(), found.told)
    ballast.ensure()
    with ExitStack() as stack:
        writing = stack.enter_context(closing(connect(path)))
        with transaction(writing, begin=WRITE):
            journal_id = str(read_meta(writing, JOURNAL_ID_KEY))
            incarnation = _note_start(writing, now)
        held.name(journal_id)
        reading = stack.enter_context(closing(connect(path, read_only=True)))
        stack.pop_all()
    return Store(writing, reading, ballast, journal_id, incarnation, not found.usable, found.set_aside)


def _usable(path: Path, held: Lock, now: float, precautions: Precautions) -> _Found:
    """See to it that what is at the path can be used, or that nothing is.

    A log without its journal is put aside too: it may hold what was acknowledged last.
    """
    if files.rebuild_wish(path).exists():
        return _rebuilt(path, held, now)
    try:
        if health.recognise(path, expected=bool(held.journal_id)):
            _check(path, now, precautions)
            return _Found(usable=True)
        reason = "the journal is gone, its write-ahead log is here"
        if not files.write_ahead_log(path).exists():
            return _absent(path, held)
    except health.Broken as broken:
        reason = str(broken)
    kept = files.set_aside(path, now)
    held.name("")
    _log.error("journal.set_aside", journal=str(path), kept=str(kept), reason=reason)
    return _Found(usable=False, set_aside=kept, told=f"{kept.name}: {reason}")


def _rebuilt(path: Path, held: Lock, now: float) -> _Found:
    """Put the journal aside because a person asked for it. The wish goes last: a crash before that repeats it."""
    wish = files.rebuild_wish(path)
    reason = wish.read_text("utf-8", "replace").strip()
    there = path.exists() or files.write_ahead_log(path).exists()
    kept = files.set_aside(path, now, infix="aside") if there else None
    held.name("")
    wish.unlink()
    files.sync_directory(path.parent)
    _log.warning("journal.set_aside", journal=str(path), kept=str(kept), reason=reason)
    return _Found(usable=False, set_aside=kept, told=f"{kept.name if kept else 'an earlier one'}: {reason}")


def _absent(path: Path, held: Lock) -> _Found:
    if held.journal_id:
        _log.warning("journal.gone", journal=str(path), id=held.journal_id)
    path.unlink(missing_ok=True)  # an empty file that nobody has written to
    return _Found(usable=False, told=f"{held.journal_id} is gone" if held.journal_id else "")


def _check(path: Path, now: float, precautions: Precautions) -> None:
    """Look a journal over, copy it, and bring it to the schema of this version."""
    with health.telling_damage(), closing(connect(path)) as connection:
        revision = health.check(connection, path)
        _use_wal(connection, path)  # a restored backup is not in this mode
        backups.keep(
            connection,
            path,
            now=now,
            every=precautions.backup_seconds,
            count=precautions.backups,
            migrating=revision != schema.HEAD,
        )
    if revision != schema.HEAD:
        _migrate(path, revision)


def _make(path: Path, journal_id: str, told: str) -> None:
    """Make a journal under another name, then give it this one: it is whole or not there."""
    unfinished = files.beside(path, ".new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        files.beside(unfinished, suffix).unlink(missing_ok=True)
    files.make(unfinished)
    with closing(connect(unfinished)) as connection:
        _use_wal(connection, path)
    with make_engine(unfinished).begin() as connection:
        migrations.make_newest(connection)
        connection.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
        values = [{"key": JOURNAL_ID_KEY, "value": journal_id}, {"key": SET_ASIDE_KEY, "value": told}]
        connection.execute(sa.insert(schema.meta), values)
    unfinished.rename(path)
    files.sync_directory(path.parent)


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to write-ahead logging, for ever; outside any transaction, as SQLite demands."""
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise SettingsInvalid(
            [f"journal {path}: its filesystem cannot do write-ahead logging (mode {mode}); use a local disk"]
        )


def _migrate(path: Path, stored: str) -> None:
    with make_engine(path, foreign_keys=False).begin() as connection:
        try:
            migrations.migrate(connection)
        except migrations.UnknownRevision:
            raise migrations.too_new(path, stored) from None


def _note_start(connection: sqlite3.Connection, now: float) -> int:
    values = {"pid": os.getpid(), "host": socket.gethostname(), "version": __version__, "started_at": now}
    number = _START.run(connection, values).lastrowid
    assert number is not None, "an INSERT tells its row"
    return number
