"""A few starts of a journal with several writers, to be recorded by `shims/record.c`. Run by `test_power_loss`.

    python power_writer.py DIRECTORY

Tells what the journal has acknowledged by lines in DIRECTORY/told, so that the record has them in their places.
"""

import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import trio
from journal_sample import SMALL, VOLUME

from rdscsi.errors import DeviceUnavailable
from rdscsi.journal import Change, Journal, changes, open_journal

STARTS, WRITERS, OPERATIONS = 3, 4, 12


def _fold_often(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_autocheckpoint=30")


FOLD_OFTEN = Change("fold the log back often, so that a short run sees it", _fold_often)


async def run(directory: Path, start: int) -> None:
    """Start, write, and end in good order."""
    told = os.open(directory / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def write(journal: Journal, writer: int) -> None:
        for number in range(OPERATIONS):
            try:
                async with journal.operation("create", f"v/{writer}.{number % 4}", {"n": number % 4}) as operation:
                    os.write(told, f"opened {operation.id}\n".encode())
                    if number % 3 == start:
                        raise DeviceUnavailable("away")
                    record = replace(VOLUME, volume_id=operation.id, tag="x" * 400)
                    await operation.finish(changes.put_volume(record))
                    os.write(told, f"closed {operation.id}\n".encode())
            except DeviceUnavailable:
                await trio.lowlevel.checkpoint()

    async with (
        open_journal(directory / "journal.db", precautions=SMALL, now=lambda: 1e9 + 7200 * start) as journal,
        trio.open_nursery() as nursery,
    ):
        os.write(told, f"started {journal.id}\n".encode())
        await journal.commit(FOLD_OFTEN)
        for writer in range(WRITERS):
            nursery.start_soon(write, journal, writer)
    os.close(told)


def main() -> None:
    """Run all starts."""
    for start in range(STARTS):
        trio.run(run, Path(sys.argv[1]), start)


if __name__ == "__main__":
    main()
