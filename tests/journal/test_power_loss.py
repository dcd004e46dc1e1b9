"""The power fails at any moment: no state that the disk may be in makes the journal lose what it acknowledged.

A real run is recorded, system call by system call; a model of the disk then tells, for moments all through the run,
what may be left; and the journal is opened on that. What a real disk with a real power cut adds is not seen here.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
import trio
from journal_sample import SMALL
from power_model import Disk, Event, read_record

from rdscsi.errors import DriverError
from rdscsi.journal import open_journal

HERE = Path(__file__).parent
CUTS = int(os.environ.get("RDSCSI_TEST_POWER_CUTS", "150"))


class Lost(AssertionError):
    """The journal that was left is not what it must be."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("recording takes a C compiler")
    base = tmp_path_factory.mktemp("power")
    shim, directory, record = base / "record.so", base / "disk", base / "record"
    directory.mkdir()
    source = HERE / "shims" / "record.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl", "-lpthread"], check=True)
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "RDSCSI_RECORD_DIR": str(directory),
        "RDSCSI_RECORD_TO": str(record),
    }
    subprocess.run([sys.executable, str(HERE / "power_writer.py"), str(directory)], env=environment, check=True)
    return read_record(record)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory: thousands of fsyncs to a real disk would tell nothing more."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="rdscsi-power-", dir=memory) as directory:
        yield Path(directory)


def acknowledged(events: Iterable[Event]) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {"started": set(), "opened": set(), "closed": set()}
    for event in events:
        if event.op == "W" and event.path.endswith("/told"):
            what, _, value = event.data.decode().strip().partition(" ")
            told[what].add(value)
    return told


def materialise(files: dict[str, bytes], directory: Path) -> Path:
    directory.mkdir()
    for path, content in files.items():
        (directory / Path(path).name).write_bytes(content)
    return directory / "journal.db"


async def look(path: Path, told: dict[str, set[str]]) -> None:
    """Start on what is left. Raises Lost."""
    try:
        async with open_journal(path, inline=True, precautions=SMALL) as journal:
            if journal.set_aside is not None:
                raise Lost("the journal was damaged")
            if told["started"] - {journal.id}:
                raise Lost("the journal was lost")
            states = {record.id: record.state for record in await journal.operations(limit=10_000)}
            volumes = {record.volume_id for record in await journal.volumes()}
    except DriverError as error:
        raise Lost(f"it does not open: {error}") from error
    if not told["opened"] <= states.keys():
        raise Lost("an acknowledged intent is gone")
    if any(states[one] != "done" for one in told["closed"]) or not told["closed"] <= volumes:
        raise Lost("an acknowledged end is gone")
    if {one for one, state in states.items() if state == "done"} != volumes:
        raise Lost("an operation and its record parted")


def cut_power(events: list[Event], cuts: int, dice: Random, directory: Path) -> None:
    moments = sorted(dice.sample(range(len(events)), min(cuts, len(events))))
    disk, done = Disk(), 0
    for number, moment in enumerate(moments):
        for event in events[done:moment]:
            disk.apply(event)
        done = moment
        path = materialise(disk.after_power_loss(dice), directory / str(number))
        try:
            trio.run(look, path, acknowledged(events[:moment]))
        except Lost as error:
            raise Lost(f"{error}, after event {moment}: {events[moment - 1].op} {events[moment - 1].path}") from error
        shutil.rmtree(path.parent)


def test_the_record_tells_of_a_full_life(recorded: list[Event]) -> None:
    told = acknowledged(recorded)
    assert len(told["started"]) == 1
    assert len(told["closed"]) > 60
    assert len(told["opened"]) > len(told["closed"])
    kinds = [event.op for event in recorded]
    assert {"C", "W", "T", "S", "D", "R", "U"} == set(kinds)
    folded = [event for event in recorded if event.op == "S" and event.path.endswith("journal.db")]
    assert len(folded) > 6, "the log was never folded back while writing"


@pytest.mark.slow
@pytest.mark.timeout(60 + CUTS)
def test_a_power_loss_at_any_moment_loses_nothing_that_was_acknowledged(recorded: list[Event], scratch: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}: {CUTS} power cuts over {len(recorded)} operations")
    cut_power(recorded, CUTS, Random(seed), scratch)


@pytest.mark.parametrize("lie", ["S", "D"])
def test_the_test_would_see_a_disk_that_lies(recorded: list[Event], scratch: Path, lie: str) -> None:
    lying = [event for event in recorded if event.op != lie]
    with pytest.raises(Lost):
        cut_power(lying, len(lying), Random(1), scratch)
