"""Connections to a journal file. Which file that is, and what must be true of it, is in `store`."""

import sqlite3
from functools import cache, partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

BUSY_SECONDS = 5.0  # only a reader's rare exclusive moment (WAL recovery) can make a writer wait
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


def make_engine(
    path: "Path | str", *, foreign_keys: bool = True, read_only: bool = False, immutable: bool = False
) -> sa.Engine:
    """Return an engine for a journal file, with transactions as SQLite means them.

    A writing engine begins with BEGIN IMMEDIATE, so that nobody finds out in the middle that somebody else writes, and
    DDL is transactional too. A read-only one sees one snapshot a transaction.
    """
    opening = partial(connect, path, foreign_keys=foreign_keys, read_only=read_only, immutable=immutable)
    model = _model()
    engine = sa.Engine(
        NullPool(opening, dialect=model.dialect),  # type: ignore[arg-type]  # as create_engine's Any lets pass
        model.dialect,
        model.url,
        execution_options={"compiled_cache": _COMPILED},
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        try:  # by hand: SQLAlchemy's own way to run a statement costs more than most reads
            connection.connection.cursor().execute(begin)
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(begin, None, error, sqlite3.Error) from error

    return engine


_COMPILED = sa.util.LRUCache[object, object](500)


@cache
def _model() -> sa.Engine:
    """Return an engine whose dialect all share: compiled statements are kept by it, and compiling costs most."""
    engine = sa.create_engine("sqlite://", poolclass=NullPool)
    with engine.connect():  # the first connection tells the dialect which SQLite it speaks to
        return engine
