"""`open_journal` and the face of the journal towards the rest of the driver: operations, records, reads.

How an operation opens and ends is in `operation`; how transactions reach the disk is in `writer` and `store`.
"""

import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from rdscsi import names
from rdscsi.errors import JournalFailed
from rdscsi.journal import queries, store
from rdscsi.journal.asking import ask_rebuild
from rdscsi.journal.changes import Change
from rdscsi.journal.engine import READ, transaction
from rdscsi.journal.faults import speaking_of, words
from rdscsi.journal.lock import Lock
from rdscsi.journal.operation import IntentChanges, LiveOperations, Operation
from rdscsi.journal.records import (
    Json,
    OperationRecord,
    OperationState,
    SnapshotRecord,
    StageRecord,
    TargetRecord,
    Tombstone,
    VolumeRecord,
)
from rdscsi.journal.retention import Retention, prune
from rdscsi.journal.store import Precautions, Store
from rdscsi.journal.threads import SqlThread
from rdscsi.journal.writer import Watch, Writer, WriterStatistics, unwatched

T = TypeVar("T")

_PRUNE_EVERY = 100  # operations opened between two rounds of forgetting; less than Retention.batch, so it keeps up


def random_id() -> str:
    """Return a fresh identity: 13 characters of base32, 64 of their bits random."""
    return names.operation_id(secrets.token_bytes(8))


class Journal:
    """What is in flight and what exists, durable. Made by `open_journal` only.

    Each write returns when it is on the disk. When that fails it raises JournalFailed, and the process ends.

    `id` is the journal's for life. `fresh` says that this start made it, so that everything has to be found out anew
    (what a former start left half found is its user's to keep in mind); `set_aside` is where this start put a file that
    could not be used any more, None when all was well.
    """

    def __init__(
        self,
        opened: Store,
        *,
        writer: Writer,
        thread: SqlThread,
        now: Callable[[], float],
        new_id: Callable[[], str],
        retention: Retention,
        path: Path,
    ) -> None:
        self._path = path
        self.id = opened.journal_id
        self.incarnation = opened.incarnation
        self.fresh = opened.fresh
        self.set_aside = opened.set_aside
        self._connection = opened.reading
        self._thread = thread
        self._writer = writer
        self._now = now
        self._retention = retention
        self._opened = 0
        self._live = LiveOperations(
            writer=writer, ballast=opened.ballast, now=now, new_id=new_id, incarnation=opened.incarnation
        )
        self._forget()

    def operation(
        self,
        kind: str,
        subject: str,
        request: Mapping[str, Json],
        *,
        supersedes: Collection[str] = (),
        changes: IntentChanges = (),
        undoing: bool = False,
    ) -> AbstractAsyncContextManager[Operation]:
        """Hold the exclusive, durable right to change one subject while the body runs.

        The intent, with `changes`, is committed before the body runs; where the changes need the operation's id, give
        a function of it. An open operation of the same kind and an equal request is adopted instead (`resumed`), and
        its changes stand as they are. An open one of a kind in `supersedes` is closed in the same transaction.

        While the journal's disk is full nothing is begun but what takes something back (`undoing`) or supersedes:
        JournalFull. Raises OperationPending for any other open operation of the subject, and in place of every error
        that is not NotFinal while the operation is open (`rdscsi.journal.operation` says why). The body ends it by
        `finish` or `fail`; an operation that is left open is found again at the next start.
        """
        self._count()
        return self._live.open(kind, subject, request, supersedes=supersedes, changes=changes, undoing=undoing)

    def adoption(self, found: OperationRecord) -> AbstractAsyncContextManager[Operation]:
        """Take up an operation that was found open, as it stands in the journal now; else as `operation`.

        Raises NoLongerOpen when it has been closed since.
        """
        self._count()
        return self._live.adopt(found.id, found.subject)

    async def commit(self, *changes: Change) -> None:
        """Make changes outside an operation durable, all in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            for change in changes:
                change.apply(connection)

        await self._writer.submit(work)

    def note(self, *changes: Change) -> None:
        """Make changes that are for people only: they ride with the next transaction, and nobody waits for them."""
        for change in changes:
            self._writer.ride(change.apply)

    async def volume(self, volume_id: str) -> VolumeRecord | None:
        """Return the record of a volume; None says that the journal has none, nothing about the appliance."""
        return await self._read(partial(queries.volume, volume_id=volume_id))

    async def volumes(self) -> list[VolumeRecord]:
        """Return the records of all volumes, by id."""
        return await self._read(queries.volumes)

    async def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """Return the record of a snapshot; None says that the journal has none, nothing about the appliance."""
        return await self._read(partial(queries.snapshot, snapshot_id=snapshot_id))

    async def snapshots(self) -> list[SnapshotRecord]:
        """Return the records of all snapshots, by id."""
        return await self._read(queries.snapshots)

    async def tombstones(self) -> list[Tombstone]:
        """Return what was deleted, oldest first."""
        return await self._read(queries.tombstones)

    async def stage(self, volume_id: str) -> StageRecord | None:
        """Return the stage record of a volume on this node."""
        return await self._read(partial(queries.stage, volume_id=volume_id))

    async def stages(self) -> list[StageRecord]:
        """Return all stage records, by volume id."""
        return await self._read(queries.stages)

    async def targets(self, volume_id: str = "") -> list[TargetRecord]:
        """Return the published paths of one volume, or of all, by path."""
        return await self._read(partial(queries.targets, volume_id=volume_id))

    async def open_operations(self) -> list[OperationRecord]:
        """Return what is unfinished, oldest intent first; the live ones of this process too."""
        return await self._read(queries.open_operations)

    async def open_operation(self, subject: str) -> OperationRecord | None:
        """Return the open operation of a subject: there is one at most."""
        return await self._read(partial(queries.open_operation, subject=subject))

    async def operations(self, limit: int = 100, state: OperationState | None = None) -> list[OperationRecord]:
        """Return operations, newest intent first, of one state or all."""
        return await self._read(partial(queries.operations, limit=limit, state=state))

    async def operation_record(self, operation_id: str) -> OperationRecord | None:
        """Return one operation with its steps, as far as history reaches."""
        return await self._read(partial(queries.operation, operation_id=operation_id))

    async def get_meta(self, key: str) -> str | None:
        """Return the value last put under a key by `changes.put_meta`."""
        return await self._read(partial(store.read_meta, key=key))

    async def put_aside_next(self, reason: str) -> None:
        """Have the next start put this journal aside, and begin a fresh one (`rdscsi journal rebuild`)."""
        await self._thread.run(partial(ask_rebuild, self._path, reason))

    def statistics(self) -> WriterStatistics:
        """Count commits and what they carried, for people and tests."""
        return self._writer.statistics()

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Read from one snapshot: everything that was acknowledged before is in it."""
        try:
            return await self._thread.run(partial(self._query, query))
        except (sqlite3.DatabaseError, trio.TooSlowError) as error:
            self._writer.fail(error)
            raise JournalFailed(f"the journal cannot be read: {words(error)}") from error

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with transaction(self._connection, begin=READ):
            return query(self._connection)

    def _count(self) -> None:
        self._opened += 1
        if self._opened % _PRUNE_EVERY == 0:
            self._forget()

    def _forget(self) -> None:
        self._writer.ride(partial(prune, retention=self._retention, now=self._now()))


@asynccontextmanager
async def open_journal(
    path: Path,
    *,
    now: Callable[[], float] = time.time,
    inline: bool = False,
    new_id: Callable[[], str] = random_id,
    retention: Retention | None = None,
    watch: Watch = unwatched,
    precautions: Precautions | None = None,
) -> AsyncIterator[Journal]:
    """Open the journal for this process alone, making or upgrading the file as needed.

    `inline` runs SQL on the Trio thread: for virtual time, where a worker thread would not count. `now` gives seconds
    since the epoch, `new_id` the ids of operations. `watch` is called around each transaction that somebody waits for.
    `precautions` says how many backups and how much ballast lie beside the file.

    A file that was a journal and is damaged is put aside, and a fresh one is made: `Journal.fresh`. Raises
    SettingsInvalid for a path that cannot be a journal of this version, and JournalFailed when it is in use, or cannot
    be read or written. When it breaks while open, the body is cancelled and JournalFailed comes out, alone or in a
    group with what the body raised.
    """
    reading, writing = SqlThread(inline=inline), SqlThread(inline=inline)
    with store.hold(path) as held:
        opening = partial(
            store.open_store, path, held, now=now, new_id=new_id, precautions=precautions or Precautions()
        )
        opened = await _opened(opening, writing, held)
        try:
            writer = Writer(opened.writing, ballast=opened.ballast, thread=writing, watch=watch)
            async with _running(writer):
                yield Journal(
                    opened,
                    writer=writer,
                    thread=reading,
                    now=now,
                    new_id=new_id,
                    retention=retention or Retention(),
                    path=path,
                )
        finally:
            if reading.stuck or writing.stuck:
                held.keep()  # a thread that hangs keeps its connection to the end
            else:
                with trio.CancelScope(shield=True), speaking_of(path):  # a write-ahead log would stay behind
                    await writing.run(opened.close)


async def _opened(opening: Callable[[], Store], thread: SqlThread, held: Lock) -> Store:
    try:
        return await thread.run(opening)
    except trio.TooSlowError as error:
        held.keep()
        raise JournalFailed(f"the journal cannot be opened: {error}") from error


@asynccontextmanager
async def _running(writer: Writer) -> AsyncIterator[None]:
    """Run the writer around the body, in a nursery that does not show: a lone error passes as it is."""
    lone: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            try:
                yield
            finally:
                writer.close()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        lone = group.exceptions[0]
    if lone is not None:
        raise lone
