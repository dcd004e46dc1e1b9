"""Copies of the journal, made at its start: for the day on which the file itself cannot be read any more.

A backup is a whole journal in one file, as it was when the driver last ended; `rdscsi journal … --journal FILE` reads
it. Not the way to recover: a driver rebuilds what it needs from the appliance or the node (docs/journal.md).
"""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from rdscsi.journal import files
from rdscsi.journal.faults import is_full, words
from rdscsi.observe import logs

_log = logs.get_log()
_INFIX = ".backup-"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup and what its name tells: when it was made, and the last start of the driver that it knows."""

    path: Path
    at: float
    start: int


def listed(journal: Path) -> list[Backup]:
    """Return the journal's backups, newest first. Files whose names are not quite right are nobody's business."""
    prefix = journal.name + _INFIX
    found = (_read(path, prefix) for path in journal.parent.iterdir() if path.name.startswith(prefix))
    return sorted((one for one in found if one), key=lambda one: (one.at, one.start), reverse=True)


def keep(
    connection: sqlite3.Connection, journal: Path, *, now: float, every: float, count: int, migrating: bool
) -> None:
    """Make a backup unless a recent one says the same, and let the oldest go.

    Not at each start: a process that is restarted in a loop would push all the good ones out. Before a migration there
    must be one of exactly this state. Without space there is none, which a migration does not survive.
    """
    start = int(connection.execute("SELECT coalesce(max(id), 0) FROM incarnations").fetchone()[0])
    newest = next(iter(listed(journal)), None)
    if start and count and _wanted(newest, start, now, every, migrating=migrating):
        try:
            _make(connection, journal, files.beside(journal, f"{_INFIX}{files.stamp(now)}-{start}"))
        except (OSError, sqlite3.DatabaseError) as error:
            if migrating or not is_full(error):
                raise
            _log.warning("journal.no_backup", journal=str(journal), error=words(error))
    for old in listed(journal)[count:]:
        old.path.unlink()


def _wanted(newest: Backup | None, start: int, now: float, every: float, *, migrating: bool) -> bool:
    if newest is None:
        return True
    if migrating:
        return newest.start != start  # nothing is written before a start is noted
    return not 0 <= now - newest.at < every


def _make(connection: sqlite3.Connection, journal: Path, path: Path) -> None:
    """Copy the journal aside, then give the copy its name: a backup is whole or not there."""
    part = files.beside(journal, ".backup.part")
    part.unlink(missing_ok=True)
    try:
        files.make(part)
        connection.execute("VACUUM INTO ?", (str(part),))
        with part.open("rb") as made:
            os.fsync(made.fileno())  # SQLite does not do it
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    files.sync_directory(path.parent)


def _read(path: Path, prefix: str) -> Backup | None:
    at, _, start = path.name.removeprefix(prefix).partition("-")
    try:
        return Backup(path, files.read_stamp(at), int(start))
    except ValueError:
        return None
