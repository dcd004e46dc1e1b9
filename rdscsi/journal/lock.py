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


def lock_path(journal: Path) -> Path:
    """Return the lock file of a journal."""
    return journal.with_name(journal.name + ".lock")


@contextmanager
def exclusive(journal: Path) -> Iterator[None]:
    """Hold the journal for this process.

    Raises JournalFailed, naming the holder, when another process (or another place in this one) has it, and OSError
    when the lock file cannot be made.
    """
    descriptor = os.open(lock_path(journal), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, journal)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


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


def _take(descriptor: int, journal: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 256, 0).decode("utf-8", "replace").strip() or "a process that is just starting"
        raise JournalFailed(
            f"journal {journal} is in use by {holder}; a journal belongs to one process at a time"
        ) from error
