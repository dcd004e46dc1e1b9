"""How a person's wish reaches the driver: as an open operation in its journal, put there by another process.

The driver finds it in its next round, as it finds what an earlier start has left open, and carries it out in the same
way (`rdscsi.controller.requests`). So a wish survives every crash, is carried out once, and stays in the history.
Synchronous; for the command line. Takes no lock: one short transaction, which SQLite itself orders with the driver's.
"""

import os
import secrets
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from rdscsi import names
from rdscsi.errors import Busy
from rdscsi.journal import engine, faults, files, intents, queries, text
from rdscsi.journal.reading import read_journal
from rdscsi.journal.records import REQUEST_PREFIX, Json

RETRY, ABANDON, RESOLVE, REVOKE, IMPORT = KINDS = ("retry", "abandon", "resolve", "revoke", "import")


def subject_about(volume_id: str) -> str:
    """Return the subject of wishes about a volume: its own, so that what is stuck does not stand in their way."""
    return REQUEST_PREFIX + volume_id


def volume_of(subject: str) -> str:
    """Return the volume that a wish is about."""
    return subject.removeprefix(REQUEST_PREFIX)


def ask(path: Path, kind: str, volume_id: str, request: Mapping[str, Json], *, now: float) -> str:
    """Put a wish into the journal; return its operation id, under which its end is found.

    Raises Busy while another wish about the volume waits, and what `read_journal` raises.
    """
    with read_journal(path):
        pass  # it is a journal, of the schema that this version writes
    wanted = {
        "id": names.operation_id(secrets.token_bytes(8)),
        "kind": kind,
        "subject": subject_about(volume_id),
        "request": text.canonical({**request, "asked_by": f"uid {os.getuid()} on {socket.gethostname()}"}),
        "state": "open",
        "opened_at": now,
        "attempts": 1,
    }
    with (
        faults.speaking_of(path),
        closing(engine.connect(path)) as connection,
        engine.transaction(connection, begin=engine.WRITE),
    ):
        _refuse_second(connection, volume_id)
        last = queries.last_incarnation(connection)
        assert last is not None, "a driver made this journal, and noted its start"
        intents.INSERT.run(connection, wanted | {"incarnation": last.id})
    return str(wanted["id"])


def ask_rebuild(path: Path, reason: str) -> Path:
    """Ask the next start to put the journal aside and to begin a fresh one; return the file that asks for it."""
    with read_journal(path):
        pass
    wish = files.rebuild_wish(path)
    part = files.beside(wish, ".part")
    with faults.speaking_of(path):
        part.unlink(missing_ok=True)
        files.make(part)
        part.write_text(text.line(f"asked for by uid {os.getuid()} on {socket.gethostname()}: {reason}"))
        part.rename(wish)
        files.sync_directory(path.parent)
    return wish


def _refuse_second(connection: sqlite3.Connection, volume_id: str) -> None:
    found = intents.FIND_OPEN.one(connection, {"of": subject_about(volume_id)})
    if found is not None:
        raise Busy(f"{volume_id}: {found['kind']} {found['id']} was asked for before and is not carried out yet")
