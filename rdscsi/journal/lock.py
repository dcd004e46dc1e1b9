"""The lock that keeps a journal to one process, on a file of its own beside the journal.

Not on the journal itself: closing any descriptor of that file would drop SQLite's own POSIX locks. The kernel lets the
lock go with the process, however it ends, so nothing is ever stale; the file stays, and its text is for people.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdscsi.errors import JournalFailed
from rdscsi.journal import files

_HOLDER, _JOURNAL = "pid ", "journal "


def lock_path(journal: Path) -> Path:
    """Return the lock file of a journal."""
    return files.beside(journal, ".lock")


class Lock:
    """A journal's lock as its holder sees it. `journal_id` is the journal that was last known at this path, or empty:

    proof that what is there now is ours, or used to be, even if it cannot be read any more.
    """

    def __init__(self, descriptor: int, journal_id: str) -> None:
        self.journal_id = journal_id
        self._descriptor = descriptor
        self._kept = False

    def name(self, journal_id: str) -> None:
        """Write down who holds the lock and which journal is behind it."""
        self.journal_id = journal_id
        text = f"{_HOLDER}{os.getpid()} on {socket.gethostname()}\n" + (
            f"{_JOURNAL}{journal_id}\n" if journal_id else ""
        )
        os.pwrite(self._descriptor, text.encode(), 0)
        os.ftruncate(self._descriptor, len(text.encode()))

    def keep(self) -> None:
        """Hold it until the process ends: a thread that hangs may still write to the journal."""
        self._kept = True

    def close(self) -> None:
        """Let it go."""
        if not self._kept:
            os.close(self._descriptor)


@contextmanager
def exclusive(journal: Path) -> Iterator[Lock]:
    """Hold the journal for this process.

    Raises JournalFailed, naming the holder, when another process (or another place in this one) has it, and OSError
    when the lock file cannot be made.
    """
    descriptor = os.open(lock_path(journal), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held = Lock(descriptor, "")
    try:
        held.name(_take(descriptor, journal))
        yield held
    finally:
        held.close()


def is_held(journal: Path) -> bool | None:
    """Tell whether a process holds the journal, without touching the lock; None when this system does not tell.

    Trying the lock would make a driver fail that starts in this moment, so the kernel's list is read (proc(5)).
    """
    try:
        inode = lock_path(journal).stat().st_ino
        listed = Path("/proc/locks").read_text()
    except FileNotFoundError:
        return None if lock_path(journal).exists() else False
    except OSError:
        return None
    return any(_names(line.split(), inode) for line in listed.splitlines())


def _names(fields: "list[str]", inode: int) -> bool:
    """Tell whether a line `1: FLOCK ADVISORY WRITE pid major:minor:inode start end` is about this file."""
    return fields[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and fields[5].rpartition(":")[2] == str(inode)


def _take(descriptor: int, journal: Path) -> str:
    """Take the lock; return the id of the journal that its text names."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = next(iter(_lines(descriptor)), "a process that is just starting")
        raise JournalFailed(
            f"journal {journal} is in use by {holder}; a journal belongs to one process at a time"
        ) from error
    named = (line.removeprefix(_JOURNAL) for line in _lines(descriptor) if line.startswith(_JOURNAL))
    return next(named, "")


def _lines(descriptor: int) -> list[str]:
    return os.pread(descriptor, 1024, 0).decode("utf-8", "replace").splitlines()
