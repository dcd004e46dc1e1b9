"""Connections to a journal file. Which file that is, and what must be true of it, is in `store`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

BUSY_SECONDS = 5.0  # only a reader's rare exclusive moment (WAL recovery) can make a writer wait
READ, WRITE = "BEGIN", "BEGIN IMMEDIATE"
"""How transactions begin: one sees one snapshot from its first look on; the other is alone in writing at once, so that
nobody finds out in the middle that somebody else writes."""
LOG_BYTES = 16 << 20  # the write-ahead log shrinks to this after a reader has held it up


def connect(
    path: "Path | str", *, foreign_keys: bool = True, read_only: bool = False, immutable: bool = False
) -> sqlite3.Connection:
    """Open a journal file; transactions are begun and ended by hand.

    `immutable`: SQLite takes the file's word for it that nobody writes, and leaves nothing beside it.
    """
    options = ("?mode=ro" if read_only else "?mode=rw") + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(
        Path(path).absolute().as_uri() + options,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
        connection.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *, begin: str) -> Iterator[None]:
    """Hold a transaction while the body runs, and commit it; roll it back after an error, also of the COMMIT itself."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has undone all by itself after some errors
            connection.execute("ROLLBACK")
        raise


def make_engine(path: "Path | str", *, foreign_keys: bool = True) -> sa.Engine:
    """Return SQLAlchemy's way to a journal file: for migrations, whose DDL is transactional too then."""
    engine = sa.create_engine(
        "sqlite://", poolclass=NullPool, creator=partial(connect, path, foreign_keys=foreign_keys)
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(WRITE)

    return engine
