"""Reads a journal for a person, while a driver uses it or not. Takes no lock, changes nothing, leaves nothing behind.

All that one `Reading` tells is of one moment: it holds one read transaction. Synchronous; for the command line.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rdscsi.errors import SettingsInvalid
from rdscsi.journal import engine, faults, files, health, lock, migrations, queries, schema, store
from rdscsi.journal.records import (
    REQUEST_PREFIX,
    WAITS_META,
    Incarnation,
    OperationRecord,
    SnapshotRecord,
    StageRecord,
    TargetRecord,
    Tombstone,
    Unclaimed,
    VolumeRecord,
)

RUNS_NOW = "runs now"
_CREATES = ("create", "create-snapshot")
_OF_NODE = ("stage", "unstage", "node-expand", "node-publish", "node-unpublish")
"""Operations of the node half, whose rounds are a minute apart; those of the controller 5 s while anything is open."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Who keeps the journal. `held` tells whether a driver has it open now; None when that cannot be seen from here.

    `set_aside` tells which damaged file this journal took the place of, and why; empty for most. `ballast` is false
    when the disk was found full and nothing new is begun. `waits` says what keeps a controller from all work, since
    `waits_since`; empty when nothing does.
    """

    path: Path
    journal_id: str
    schema: str
    incarnation: Incarnation | None
    held: bool | None
    set_aside: str
    ballast: bool
    waits: str = ""
    waits_since: float | None = None

    def next(self, operation: OperationRecord) -> str:
        """Say what happens with an operation next; it must have its steps."""
        if operation.state != "open":
            return "nothing: it has ended"
        if self.held is False:
            return "no driver runs on this journal; the next start takes it up"
        former = self.incarnation is not None and operation.incarnation < self.incarnation.id
        if not former and not _interrupted(operation) and not _is_request(operation):
            return f"{RUNS_NOW}, attempt {operation.attempts}"
        if self.waits:
            return "the driver tries again as soon as it can act at all: see above what it waits for"
        return ("left by an earlier start; " if former else "") + self._following(operation)

    def _following(self, operation: OperationRecord) -> str:
        if _is_request(operation):
            return "the driver carries it out in its next round, within a minute"
        if operation.kind in _CREATES:
            waits = "waits for the orchestrator to ask again; when nobody does within abandon-after, "
            return waits + "the driver erases what is half made"
        soon = "within a minute" if operation.kind in _OF_NODE else "within 5 s"
        return f"the driver tries again in its next round, {soon}; the orchestrator's next call does too"


def _interrupted(operation: OperationRecord) -> bool:
    own = [step for step in operation.steps if step.name in queries.OWN_STEPS]
    return bool(own) and own[-1].name == queries.ERROR


def _is_request(operation: OperationRecord) -> bool:
    return operation.subject.startswith(REQUEST_PREFIX)


class Reading:
    """An open journal, read from one snapshot. Made by `read_journal` only."""

    def __init__(self, connection: sqlite3.Connection, situation: Situation) -> None:
        self.situation = situation
        self._connection = connection

    def open_operations(self) -> list[OperationRecord]:
        """Return what is unfinished with its steps, oldest intent first."""
        return [self._with_steps(one) for one in queries.open_operations(self._connection)]

    def operations(self, *, limit: int) -> list[OperationRecord]:
        """Return operations of every state with their steps, newest intent first."""
        return [self._with_steps(one) for one in queries.operations(self._connection, limit=limit, state=None)]

    def operations_about(self, text: str, *, limit: int) -> list[OperationRecord]:
        """Return the operations with this id or subject, with their steps; the open one first, then newest first."""
        return [self._with_steps(one) for one in queries.operations_about(self._connection, text, limit=limit)]

    def volume(self, volume_id: str) -> VolumeRecord | None:
        """Return a volume's record."""
        return queries.volume(self._connection, volume_id)

    def stage(self, volume_id: str) -> StageRecord | None:
        """Return a volume's stage record."""
        return queries.stage(self._connection, volume_id)

    def volumes(self) -> list[VolumeRecord]:
        """Return all volumes by id."""
        return queries.volumes(self._connection)

    def unclaimed(self) -> list[Unclaimed]:
        """Return the volumes that nobody asked for any more when they were finished, by id."""
        return queries.unclaimed(self._connection)

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """Return a snapshot's record."""
        return queries.snapshot(self._connection, snapshot_id)

    def snapshots(self) -> list[SnapshotRecord]:
        """Return all snapshots by id."""
        return queries.snapshots(self._connection)

    def stages(self) -> list[StageRecord]:
        """Return all stage records by volume id."""
        return queries.stages(self._connection)

    def targets(self, volume_id: str = "") -> list[TargetRecord]:
        """Return the published paths of one volume, or of all."""
        return queries.targets(self._connection, volume_id=volume_id)

    def tombstones(self) -> list[Tombstone]:
        """Return what was deleted, oldest first."""
        return queries.tombstones(self._connection)

    def troubles(self) -> list[str]:
        """Look the whole file over; return what is wrong with it. Takes a while for a large one."""
        try:
            with health.telling_damage():
                health.check(self._connection, self.situation.path)
        except health.Broken as broken:
            return [str(broken)]
        return []

    def copy_to(self, target: Path) -> None:
        """Write the journal, as it is in this moment, into a new file. Raises SettingsInvalid when there is one."""
        with faults.speaking_of(target):
            files.make(target)
            try:
                with closing(sqlite3.connect(target)) as made:
                    self._connection.backup(made)
                with target.open("rb") as written:
                    os.fsync(written.fileno())
            except (OSError, sqlite3.Error):
                target.unlink()
                raise
            files.sync_directory(target.parent)

    def _with_steps(self, operation: OperationRecord) -> OperationRecord:
        return queries.operation(self._connection, operation.id) or operation


@contextmanager
def read_journal(path: Path) -> Iterator[Reading]:
    """Open a journal for reading.

    Raises SettingsInvalid for a file that is missing, unreadable, no journal, or of another schema than this version
    reads, and JournalFailed for a damaged one.
    """
    with faults.speaking_of(path):
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # SQLite would not say why it cannot
        if not health.recognise(path, expected=False):
            raise SettingsInvalid([f"journal {path} is empty: no driver has written to it"])
        with (
            _undisturbed(path) as (source, immutable),
            closing(engine.connect(source, read_only=True, immutable=immutable)) as connection,
            engine.transaction(connection, begin=engine.READ),
        ):
            yield Reading(connection, _situation(connection, path))


@contextmanager
def _undisturbed(path: Path) -> Iterator[tuple[Path, bool]]:
    """Return what to open, and whether SQLite may take it for a file that nobody writes.

    Without a write-ahead log nobody writes, and SQLite would make one, owned by whoever looks. A driver that starts in
    this moment makes one before it changes the file, which stays as it is until its first checkpoint. A log without
    its index, as in a copy that somebody took, would get an index in the same way: a copy of ours gets it.
    """
    log = files.write_ahead_log(path)
    if files.beside(path, "-shm").exists() or not log.exists():
        yield path, not log.exists()
        return
    with tempfile.TemporaryDirectory(prefix="rdscsi-journal-") as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, files.write_ahead_log(copy))
        yield copy, False


def _situation(connection: sqlite3.Connection, path: Path) -> Situation:
    revision = migrations.stored_revision(connection)
    if revision > schema.HEAD:
        raise migrations.too_new(path, revision)
    if revision != schema.HEAD:
        raise SettingsInvalid(
            [
                f"journal {path} has schema {revision or '(none)'}, and this version of rdscsi reads {schema.HEAD}:"
                " read it with the version that wrote it, or let this version's driver start on it, which upgrades it"
            ]
        )
    since, _, reason = (store.read_meta(connection, WAITS_META) or "").partition(" ")
    return Situation(
        path=path,
        journal_id=store.read_meta(connection, health.JOURNAL_ID_KEY) or "",
        schema=revision,
        incarnation=queries.last_incarnation(connection),
        held=lock.is_held(path),
        set_aside=store.read_meta(connection, store.SET_ASIDE_KEY) or "",
        ballast=files.beside(path, ".ballast").exists(),
        waits=reason,
        waits_since=float(since) if reason else None,
    )
