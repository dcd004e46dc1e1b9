"""Kills a process that writes a journal, again and again, and looks at what is left. Run by `test_crashes`.

    python crash_writer.py DIRECTORY KILLS SEED

Each life is a fork: several tasks hold operations, and tell over a pipe what the journal has acknowledged. It is ended
by SIGKILL at a random moment, of its start too. After each one the journal must open, as the same one, and hold all
that was acknowledged. Prints what it counted as JSON; ends with a traceback when anything is wrong.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio
from journal_sample import SMALL, VOLUME

from rdscsi.errors import DeviceUnavailable
from rdscsi.journal import Journal, changes, open_journal

WRITERS = 4
LIVES_PER_JOURNAL = 25
LONGEST_START, LONGEST_GRACE = 0.1, 0.003  # seconds
MOST_TOLD = 40  # lines that are heard before the kill
SHARE_OF_STARTS = 0.2  # of the kills that fall into a start, or soon after


@dataclass
class Counts:
    """What came to pass."""

    kills: int = 0
    during_start: int = 0
    with_open_operations: int = 0
    acknowledged_intents: int = 0
    acknowledged_ends: int = 0


@dataclass
class Heard:
    """What a life told before it ended."""

    started: bool = False
    identity: str = ""
    opened: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)


def live(path: Path, told: int) -> None:
    """Write until killed."""

    def tell(*words: str) -> None:
        os.write(told, (" ".join(words) + "\n").encode())

    async def write(journal: Journal, writer: int) -> None:
        for number in itertools.count():
            subject = f"v/{writer}.{number % 5}"
            try:
                async with journal.operation("create", subject, {"n": number % 5}) as operation:
                    tell("opened", operation.id)
                    await operation.step("add", "x" * 50)
                    if number % 3 == 2:
                        raise DeviceUnavailable("away")
                    await operation.finish(changes.put_volume(replace(VOLUME, volume_id=operation.id)))
                    tell("closed", operation.id)
            except DeviceUnavailable:
                await trio.lowlevel.checkpoint()

    async def run() -> None:
        async with open_journal(path, precautions=SMALL) as journal, trio.open_nursery() as nursery:
            tell("started", journal.id)
            for writer in range(WRITERS):
                nursery.start_soon(write, journal, writer)

    trio.run(run)


def one_life(path: Path, dice: random.Random) -> Heard:
    """Fork, wait, kill; return what was told."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            live(path, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        if dice.random() < SHARE_OF_STARTS:
            first = ""
            time.sleep(dice.random() * LONGEST_START)
        else:
            first = "".join(pipe.readline() for _ in range(dice.randint(1, MOST_TOLD)))
            time.sleep(dice.random() * LONGEST_GRACE)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"a life ended by itself: {status}"
        return hear(first + pipe.read())


def hear(text: str) -> Heard:
    heard = Heard()
    for line in text.splitlines():
        what, _, value = line.partition(" ")
        if what == "started":
            heard.started, heard.identity = True, value
        else:
            (heard.opened if what == "opened" else heard.closed).add(value)
    return heard


async def look(path: Path, heard: Heard, known: str, counts: Counts) -> str:
    """Open what is left as the next start does; return the journal's id."""
    async with open_journal(path, inline=True, precautions=SMALL) as journal:
        assert journal.set_aside is None, "the journal was damaged"
        assert not (known and journal.fresh), "the journal was lost"
        assert (heard.identity or known or journal.id) == journal.id
        records = {record.id: record for record in await journal.operations(limit=100_000)}
        volumes = {record.volume_id for record in await journal.volumes()}
        assert heard.opened <= records.keys(), "an acknowledged intent is gone"
        assert all(records[one].state == "done" for one in heard.closed), "an acknowledged end is gone"
        assert heard.closed <= volumes, "an acknowledged record is gone"
        done = {one.id for one in records.values() if one.state == "done"}
        assert done <= volumes, "an operation ended without its record"
        counts.with_open_operations += bool(await journal.open_operations())
        return journal.id


def main(directory: Path, kills: int, seed: int) -> None:
    dice, counts = random.Random(seed), Counts()
    known = ""
    trio.run(look, directory / "warm.db", Heard(), "", Counts())  # imports what a first start needs
    for life in range(kills):
        if life % LIVES_PER_JOURNAL == 0:
            path, known = directory / f"journal-{life}.db", ""
        heard = one_life(path, dice)
        counts.kills += 1
        counts.during_start += not heard.started
        counts.acknowledged_intents += len(heard.opened)
        counts.acknowledged_ends += len(heard.closed)
        known = trio.run(look, path, heard, known or heard.identity, counts)
    print(json.dumps(counts.__dict__))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
