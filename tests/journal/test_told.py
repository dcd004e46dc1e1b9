"""What was told beside a request is kept, and makes no other request of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from operation_rig import REQUEST, journal_at, only
from trio.testing import MockClock

from rdscsi.errors import OperationPending
from rdscsi.journal import Journal, Json
from rdscsi.journal.records import TOLD


@pytest.fixture
async def journal(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[Journal]:
    async with journal_at(tmp_path / "journal.db") as opened:
        yield opened


def told(claim: str) -> dict[str, Json]:
    return {**REQUEST, TOLD: {"claim": claim}}


async def left_open(journal: Journal, request: dict[str, Json]) -> str:
    with pytest.raises(OperationPending):
        async with journal.operation("create", "v/1", request) as operation:
            raise RuntimeError("died here")
    return operation.id


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (dict(REQUEST), told("a/b"), told("a/b")),
        (told("a/b"), dict(REQUEST), told("a/b")),
        (told("a/b"), told("c/d"), told("c/d")),
    ],
    ids=["told later", "told no more", "told otherwise"],
)
async def test_an_open_operation_is_adopted_whatever_was_told_beside_and_keeps_what_was_told_last(
    first: dict[str, Json], second: dict[str, Json], kept: dict[str, Json], journal: Journal
) -> None:
    begun = await left_open(journal, first)
    async with journal.operation("create", "v/1", second) as operation:
        assert (operation.id, operation.resumed, operation.request) == (begun, True, kept)
        assert (await only(journal)).request == kept
        await operation.finish()


async def test_another_request_stays_another(journal: Journal) -> None:
    await left_open(journal, told("a/b"))
    with pytest.raises(OperationPending, match="is unfinished"):
        async with journal.operation("create", "v/1", {**told("a/b"), "other": 1}):
            raise AssertionError("it was adopted")
