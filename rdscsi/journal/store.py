"""The SQLite file: how it is opened, made, recognised and closed. What is written into it is not decided here.

WAL with synchronous=FULL: a transaction that was acknowledged survives a power loss. One connection writes, a second
one reads, each used by one thread at a time (`rdscsi.journal.threads`). Only one process at a time (`lock`).
"""

import errno
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from rdscsi import __version__
from rdscsi.errors import JournalFailed, SettingsInvalid
from rdscsi.journal import lock, migrations, schema

JOURNAL_ID_KEY = "journal.id"
BUSY_SECONDS = 5.0  # only a reader's rare exclusive moment (WAL recovery) can make a writer wait
_WRONG_PATH = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class Store:
    """An open journal file: its two connections, its identity, and the number of this start."""

    writing: sa.Connection
    reading: sa.Connection
    journal_id: str
    incarnation: int

    def close(self) -> None:
        """Close both; the last one folds the write-ahead log back into the file."""
        self.reading.close()
        self.writing.close()


def make_engine(
    path: "Path | str", *, foreign_keys: bool = True, read_only: bool = False, immutable: bool = False
) -> sa.Engine:
    """Return an engine for a journal file, with transactions as SQLite means them.

    A writing engine begins with BEGIN IMMEDIATE, so that nobody finds out in the middle that somebody else writes, and
    DDL is transactional too. A read-only one sees one snapshot a transaction. `immutable`: SQLite takes the file's word
    for it that nobody writes, and leaves nothing beside it.
    """
    options = ("?mode=ro" if read_only else "?mode=rw") + ("&immutable=1" if immutable else "")
    uri = Path(path).absolute().as_uri() + options

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def open_store(path: Path, *, now: float, new_id: Callable[[], str]) -> Store:
    """Open the journal, making or upgrading it as needed, and note this start of the process.

    The caller holds the lock. Raises SettingsInvalid for a file that is no journal or too new, and JournalFailed when
    it cannot be read or written.
    """
    with speaking_of(path):
        _make_file(path)
        _recognise(path)
        _use_wal(path)
        _upgrade(path, new_id)
        writing = make_engine(path).connect()
        with writing.begin():
            journal_id = read_meta(writing, JOURNAL_ID_KEY)
            incarnation = _note_start(writing, now)
        if journal_id is None:
            raise JournalFailed(f"journal {path} has lost its identity (meta {JOURNAL_ID_KEY}); restore a backup")
        return Store(writing, make_engine(path, read_only=True).connect(), journal_id, incarnation)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the journal's lock. Raises JournalFailed when another process has it, SettingsInvalid for a bad path."""
    with ExitStack() as stack:
        with speaking_of(path):
            stack.enter_context(lock.exclusive(path))
        yield


@contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turn the words of SQLite and the system about this file into the driver's errors."""
    try:
        yield
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise no_journal(path) from error
        raise JournalFailed(f"journal {path}: {cause}") from error
    except OSError as error:
        if error.errno in _WRONG_PATH:
            raise SettingsInvalid([f"journal {path}: {error.strerror}"]) from error
        raise JournalFailed(f"journal {path}: {error}") from error


def write_ahead_log(path: Path) -> Path:
    """Return where SQLite keeps what is not yet folded into the file; it is there while somebody writes, or crashed."""
    return path.with_name(path.name + "-wal")


def no_journal(path: Path) -> SettingsInvalid:
    """Say that the file is something else, which is left as it is."""
    return SettingsInvalid([f"journal {path} is not a journal of rdscsi; nothing was changed in it"])


def read_meta(connection: sa.Connection, key: str) -> str | None:
    """Return a value of the meta table."""
    value: str | None = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()
    return value


def _make_file(path: Path) -> None:
    """Make an empty file for the owner alone, and its directory entry durable; SQLite gives -wal and -shm its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise no_journal(path) from None
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _recognise(path: Path) -> None:
    """Refuse a stranger's database before anything is written; an empty one is a journal that was never finished."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        mark = connection.execute("PRAGMA application_id").fetchone()[0]
        objects = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if mark != schema.APPLICATION_ID and (mark or objects):
        raise no_journal(path)


def _use_wal(path: Path) -> None:
    """Switch to write-ahead logging, for ever; outside any transaction, as SQLite demands."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise SettingsInvalid(
            [f"journal {path}: its filesystem cannot do write-ahead logging (mode {mode}); use a local disk"]
        )


def _upgrade(path: Path, new_id: Callable[[], str]) -> None:
    """Bring the schema to HEAD, in one transaction together with what makes a new file a journal."""
    with make_engine(path, foreign_keys=False).begin() as connection:
        stored = migrations.stored_revision(connection)
        if stored == schema.HEAD:
            return
        try:
            migrations.migrate(connection)
        except LookupError:
            raise migrations.too_new(path, stored) from None
        if not stored:
            connection.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
            connection.execute(sa.insert(schema.meta).values(key=JOURNAL_ID_KEY, value=new_id()))


def _note_start(connection: sa.Connection, now: float) -> int:
    start = sa.insert(schema.incarnations).values(
        pid=os.getpid(), host=socket.gethostname(), version=__version__, started_at=now
    )
    return int(connection.execute(start.returning(schema.incarnations.c.id)).scalar_one())
