"""The single writer: whoever waits shares a transaction with all the others who wait (group commit).

There is no timer behind it: while one transaction is on its way to the disk, the next one gathers. An item that breaks
a rule of the schema fails alone, in a savepoint of its own. A full disk costs the ballast and is tried once more. A
failed COMMIT or a failing disk fails everybody, and the process with them (law 10): `run` raises JournalFailed out of
the journal's nursery.
"""

import enum
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from rdscsi.errors import JournalFailed
from rdscsi.journal.ballast import Ballast
from rdscsi.journal.engine import WRITE, transaction
from rdscsi.journal.faults import is_full, words
from rdscsi.journal.threads import SqlThread
from rdscsi.observe import logs

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

LINGER_SECONDS = 0.5  # how long breadcrumbs wait for a commit to ride with, before they cause one

_log = logs.get_log()
# The disk is not at fault when a statement breaks a rule or is wrong in itself (https://www.sqlite.org/rescode.html;
# 0: Python refused it before SQLite saw it).
_OWN_FAULT = {
    0,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}


class Moment(enum.Enum):
    """Where a transaction stands: not begun, or durable."""

    BEFORE = "before"
    AFTER = "after"


Watch = Callable[[Moment], None]
"""Called around each transaction that somebody waits for, for tests that count effects. Must not raise."""


def unwatched(_moment: Moment) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """What the writer has done since it started. `ballast`: whether space for closing what is open is held back."""

    commits: int
    items: int
    largest_batch: int
    queued: int
    lost_riders: int
    ballast: bool


@dataclass(slots=True, eq=False)
class _Item:
    work: Work[None]
    awaited: bool
    error: Exception | None = None
    done: trio.Event = field(default_factory=trio.Event)


class Writer:
    """Owns the writing connection; the one task in `run` uses it. So it does the ballast."""

    def __init__(
        self, connection: sqlite3.Connection, *, ballast: Ballast, thread: SqlThread, watch: Watch = unwatched
    ) -> None:
        self._connection = connection
        self._ballast = ballast
        self._watch = watch
        self._thread = thread
        self._queue: list[_Item] = []
        self._batch: list[_Item] = []  # what is on its way to the disk
        self._arrived = trio.Event()  # something is queued, or it is time to end
        self._urgent = trio.Event()  # somebody waits
        self._closing = False
        self._doom: Exception | None = None
        self._commits = self._items = self._largest = self._lost = 0

    def statistics(self) -> WriterStatistics:
        """Count what was done, for people and tests."""
        return WriterStatistics(
            self._commits, self._items, self._largest, len(self._queue), self._lost, self._ballast.held
        )

    async def submit(self, work: Work[T]) -> T:
        """Run `work` in a transaction; return what it returned once that is durable.

        Raises what `work` raises (its savepoint is rolled back then), or JournalFailed. The wait is shielded: the
        outcome must be known, and it is bounded by the time of two commits.
        """
        box: list[T] = []
        item = _Item(lambda connection: box.append(work(connection)), awaited=True)
        self._put(item)
        self._urgent.set()
        with trio.CancelScope(shield=True):  # without it a cancelled caller would not know whether its intent stands
            await item.done.wait()
        if item.error is not None:
            raise item.error
        return box[-1]  # a transaction that found the disk full was tried twice

    def ride(self, work: Work[None]) -> None:
        """Let `work` ride with the next transaction; nobody waits for it. After a failure it is dropped."""
        if self._doom is None and not self._closing:
            self._put(_Item(work, awaited=False))

    def fail(self, cause: Exception) -> None:
        """End the journal and the process because its file cannot be trusted any more (a read failed)."""
        self._doom = self._doom or cause
        self.close()

    def close(self) -> None:
        """Let the writer end after what is queued is durable."""
        self._closing = True
        self._arrived.set()
        self._urgent.set()

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Commit whatever is queued until closed. Raises JournalFailed when that is not possible."""
        with trio.CancelScope(shield=True):  # cancelled callers still wait for their outcome; `close` ends this
            try:
                task_status.started()
                while not (self._closing and not self._queue):
                    await self._gather()
                    self._raise_doom()
                    await self._commit_queued()
                self._raise_doom()
            finally:
                self._release()

    def _raise_doom(self) -> None:
        if self._doom is not None:
            raise _failed(self._doom) from self._doom

    def _put(self, item: _Item) -> None:
        self._raise_doom()
        if self._closing:
            raise JournalFailed("the journal is closed")
        self._queue.append(item)
        self._arrived.set()

    async def _gather(self) -> None:
        await self._arrived.wait()
        with trio.move_on_after(LINGER_SECONDS):
            await self._urgent.wait()
        await trio.lowlevel.checkpoint()  # those whom the last commit woke may join this one
        if not self._closing:
            self._arrived, self._urgent = trio.Event(), trio.Event()

    async def _commit_queued(self) -> None:
        self._batch, self._queue = self._queue, []
        if not self._batch:
            return
        watch = self._watch if any(item.awaited for item in self._batch) else unwatched
        watch(Moment.BEFORE)
        try:
            errors = await self._thread.run(partial(self._transact, self._batch))
        except Exception as error:  # whatever it is, the batch is not known to be durable
            self._doom = error
            raise _failed(error) from error
        watch(Moment.AFTER)
        for item, own in zip(self._batch, errors, strict=True):
            self._settle(item, own)
        self._commits += 1
        self._items += len(errors)
        self._largest = max(self._largest, len(errors))
        self._batch = []

    def _settle(self, item: _Item, error: Exception | None) -> None:
        if error is not None and not item.awaited:
            self._lost += 1
            _log.warning("journal.breadcrumb_lost", error=f"{type(error).__name__}: {words(error)}")
        item.error = error
        item.done.set()

    def _transact(self, batch: list[_Item]) -> list[Exception | None]:
        try:
            return self._attempt(batch)
        except Exception as error:
            if not (is_full(error) and self._ballast.release()):
                raise
            _log.error("journal.disk_full", ballast="released", error=words(error))
        return self._attempt(batch)

    def _attempt(self, batch: list[_Item]) -> list[Exception | None]:
        with transaction(self._connection, begin=WRITE):
            return [self._apply(item) for item in batch]

    def _apply(self, item: _Item) -> Exception | None:
        """Do one item's work in a savepoint."""
        fault: Exception | None = None
        self._connection.execute("SAVEPOINT item")
        try:
            item.work(self._connection)
        except Exception as error:
            # SQLite undoes the whole transaction after some errors: nothing of it may go on then.
            if not (self._connection.in_transaction and _own_fault(error)):
                raise
            fault = error  # delivered to the one who waits for this item
            self._connection.execute("ROLLBACK TO item")
        self._connection.execute("RELEASE item")
        return fault

    def _release(self) -> None:
        """Nobody waits for a writer that has ended: on the ordinary way out there is nobody left."""
        self._closing = True
        left, self._batch, self._queue = self._batch + self._queue, [], []
        for item in left:
            item.error = _failed(self._doom)
            item.error.__cause__ = self._doom
            item.done.set()


def _own_fault(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OWN_FAULT
    return True


def _failed(cause: Exception | None) -> JournalFailed:
    return JournalFailed(f"the journal cannot be written: {words(cause) if cause else 'its writer was ended'}")
