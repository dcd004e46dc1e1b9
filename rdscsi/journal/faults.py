"""What the errors of SQLite and the system about a journal's file mean. What a start makes of them is in `store`."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from rdscsi.errors import JournalFailed, SettingsInvalid

FULL = "the disk is full"

_WRONG_PATH = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turn the words of SQLite and the system about this file into the driver's errors."""
    try:
        yield
    except (sa.exc.DatabaseError, sqlite3.DatabaseError, OSError) as error:
        first = _first(error)
        if isinstance(first, OSError) and first.errno in _WRONG_PATH:
            raise SettingsInvalid([f"journal {path}: {first.strerror}"]) from error
        raise JournalFailed(f"journal {path}: {words(error)}") from error


def words(error: Exception) -> str:
    """Say what went wrong first, in SQLite's or the system's words, without the statement and its values."""
    return FULL if is_full(error) else str(_first(error))


def is_full(error: Exception) -> bool:
    """Tell whether an error says that the disk is full, also in what it was raised from.

    SQLite undoes the whole transaction then, so that leaving a savepoint fails too and hides the first error.
    """
    return any(_says_full(one) for one in _chain(error))


def _first(error: Exception) -> BaseException:
    """Return the error of the disk or the database that the others came from, or the error itself."""
    disk = [one for one in _chain(error) if isinstance(one, sqlite3.Error | OSError)]
    return disk[-1] if disk else error


def _says_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
