"""Journals and a command line for the tests of `rdscsi journal` and `rdscsi publication`."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from journal_page import tag, volume_id
from journal_sample import BARE
from trio.testing import MockClock

from rdscsi.cli.main import main
from rdscsi.errors import OperationPending
from rdscsi.journal import Journal, Json, VolumeRecord, changes, open_journal
from rdscsi.model import GIB
from rdscsi.tags import render_tag
from rdscsi.testing.world import World, in_memory, open_world

VOLUME = volume_id("pvc-1")
BACKING = "aaaaaaaaaaaaa"


def record(**others: Any) -> VolumeRecord:
    slot = VOLUME.partition("/")[2]
    made = VolumeRecord(
        VOLUME, "rds", slot, "pvc-1", BACKING, 10 * GIB, "ready", render_tag(tag("pvc-1", BACKING)), True, "", 1.0
    )
    return replace(made, **others)


async def fill(path: Path, *kinds: str, volume: VolumeRecord | None = None) -> None:
    """Make a journal whose driver has ended, with an operation of each kind left open for the volume."""
    async with open_journal(path, precautions=BARE, inline=True) as journal:
        await journal.commit(changes.put_volume(volume or record()))
        for kind in kinds:
            await _leave(journal, kind)


async def _leave(journal: Journal, kind: str) -> None:
    with pytest.raises(OperationPending):
        async with journal.operation(kind, VOLUME, {"node": "x"}) as operation:
            await operation.step("begun", kind)
            raise RuntimeError("died here")


async def end(path: Path, kind: str, subject: str, request: dict[str, Json]) -> None:
    """Let an operation end well in another start of the driver."""
    async with (
        open_journal(path, precautions=BARE, inline=True) as journal,
        journal.operation(kind, subject, request) as operation,
    ):
        await operation.finish(outcome="gone")


class Command:
    """Runs `rdscsi` on one journal."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path) -> None:
        self._capsys = capsys
        self.path = path

    def run(self, *arguments: str, status: int) -> str:
        ended = main([*arguments, "--journal", str(self.path)])
        captured = self._capsys.readouterr()
        self.err = captured.err
        assert ended == status, captured
        return captured.out


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.delenv("RDSCSI_RDS_ADDRESS", raising=False)
    monkeypatch.delenv("RDSCSI_CONFIG", raising=False)
    with tempfile.TemporaryDirectory(prefix="rdscsi-journal-", dir=in_memory()) as directory:
        yield Command(capsys, Path(directory) / "journal.db")


@pytest.fixture
async def world(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path / "world") as made:
        yield made
