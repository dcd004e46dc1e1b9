"""What the tests of operations share."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from journal_sample import BARE

from rdscsi.journal import Change, Journal, Json, OperationRecord, open_journal

REQUEST: dict[str, Json] = {"size": 1, "names": ["a"]}


def running(sql: str) -> Change:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute(sql)

    return Change(sql, apply)


FORGED = running("INSERT INTO meta VALUES (1)")


@asynccontextmanager
async def journal_at(path: Path) -> AsyncIterator[Journal]:
    async with open_journal(path, inline=True, precautions=BARE, now=lambda: 1000.0 + trio.current_time()) as journal:
        yield journal


async def only(journal: Journal) -> OperationRecord:
    await journal.commit()  # breadcrumbs ride with it
    (found,) = await journal.operations()
    record = await journal.operation_record(found.id)
    assert record is not None
    return record
