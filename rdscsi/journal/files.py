"""The files beside a journal: what they are called, and how one is put aside so that a crash loses none.

    journal.db                      the journal
    journal.db-wal, journal.db-shm  SQLite's write-ahead log and its index, there while the journal is open or crashed
    journal.db.lock                 held by the driver that uses the journal (`lock`)
    journal.db.ballast              space that is given back when the disk is full (`ballast`)
    journal.db.backup-<UTC>-<n>     the journal as it was before its start n + 1 (`backups`)
    journal.db.broken-<UTC>         a journal that could not be used, kept for a person
    journal.db.rebuild              asks the next start to put the journal aside (`rdscsi journal rebuild`)
    journal.db.aside-<UTC>          a journal that was put aside on request

All of them are for the owner alone (0600).
"""

import itertools
import os
from datetime import UTC, datetime
from pathlib import Path

_STAMP = "%Y%m%dT%H%M%SZ"


def beside(journal: Path, suffix: str) -> Path:
    """Return the path of a journal's companion file."""
    return journal.with_name(journal.name + suffix)


def write_ahead_log(journal: Path) -> Path:
    """Return where SQLite keeps what is not yet folded into the file; it is there while somebody writes, or crashed."""
    return beside(journal, "-wal")


def rebuild_wish(journal: Path) -> Path:
    """Return the file by which a person asks the next start for a fresh journal; its text says who and why."""
    return beside(journal, ".rebuild")


def stamp(at: float) -> str:
    """Return a time (seconds since the epoch) as file names carry it; these sort by time."""
    return datetime.fromtimestamp(at, UTC).strftime(_STAMP)


def read_stamp(text: str) -> float:
    """Return the time that a file name carries. Raises ValueError when it carries none."""
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC).timestamp()


def make(path: Path) -> None:
    """Make an empty file for the owner alone. SQLite gives its own files beside it the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def set_aside(journal: Path, now: float, *, infix: str = "broken") -> Path:
    """Rename a journal, with its write-ahead log, so that a fresh one can be made; return its new name.

    The journal goes first: without its log it would open as it was some commits ago. A log that a crash left behind is
    put aside by the next start, which finds it alone.
    """
    kept = _free_name(journal, f".{infix}-{stamp(now)}")
    for suffix in ("", "-wal", "-shm"):
        if beside(journal, suffix).exists():
            beside(journal, suffix).rename(beside(kept, suffix))
            sync_directory(journal.parent)
    return kept


def sync_directory(directory: Path) -> None:
    """Make what was made, renamed or removed in a directory survive a power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_name(journal: Path, suffix: str) -> Path:
    """Return a name that nothing has yet: what was put aside once is never overwritten."""
    names = itertools.chain([suffix], (f"{suffix}.{number}" for number in itertools.count(2)))
    return next(
        name for each in names if not any((name := beside(journal, each + end)).exists() for end in ("-wal", ""))
    )
