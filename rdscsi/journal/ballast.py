"""Space on the journal's disk that is held back, and given up when the disk is full (law 10).

What is held is a promise: an operation is begun only while the ballast is there, so that every open one can end. When
a transaction finds the disk full, the ballast goes, the transaction is tried once more, and until the ballast can be
made again nothing new is begun except what undoes something.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

from rdscsi.errors import NotFinal
from rdscsi.journal import files
from rdscsi.journal.faults import is_full
from rdscsi.observe import logs

PAUSE_SECONDS = 10.0  # between two attempts to make it again: each one fills the disk to the brim

_log = logs.get_log()


class JournalFull(NotFinal):
    """The journal's disk is full: no operation is begun until there is space. What is open can still end.

    Nothing was done for this request. Make space on the filesystem that holds the journal.
    """


class Ballast:
    """The ballast of one journal, used by one thread at a time. A `size` of 0 promises nothing and refuses nothing."""

    def __init__(self, journal: Path, *, size: int, now: Callable[[], float]) -> None:
        self._path = files.beside(journal, ".ballast")
        self._size = size
        self._now = now
        self._tried_at = -math.inf
        self.held = False

    def ensure(self) -> bool:
        """Tell whether the ballast is held, after an attempt to make it when one is due."""
        if not self.held and self._due():
            self._tried_at = self._now()
            self.held = self._make()
        return self.held

    def release(self) -> bool:
        """Give the space back; False when there was none to give."""
        if not self._size:
            return False
        self._tried_at = self._now()
        self.held = False
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _due(self) -> bool:
        """A clock that was set back must not put the next attempt off for ever."""
        return abs(self._now() - self._tried_at) >= PAUSE_SECONDS

    def _make(self) -> bool:
        if not self._size:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            if not is_full(error):
                raise
            self._path.unlink()
            _log.warning("journal.no_ballast", path=str(self._path), bytes=self._size, error=str(error))
            return False
        finally:
            os.close(descriptor)
        return True
