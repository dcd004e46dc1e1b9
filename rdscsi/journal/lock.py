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


def _take(descriptor: int, journal: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 256, 0).decode("utf-8", "replace").strip() or "a process that is just starting"
        raise JournalFailed(
            f"journal {journal} is in use by {holder}; a journal belongs to one process at a time"
        ) from error
