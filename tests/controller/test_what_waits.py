"""What people are told that all work waits for, and since when: it outlives the process that noted it."""

import trio
from trio.testing import MockClock

from rdscsi.journal.reading import read_journal
from rdscsi.testing.world import World


def waits(world: World) -> tuple[str, float | None]:
    with read_journal(world.journal_path) as reading:
        return reading.situation.waits, reading.situation.waits_since


async def test_since_when_outlives_another_reason_and_a_restart_and_ends_with_the_trouble(
    world: World, autojump_clock: MockClock
) -> None:
    rounds = 3 * world.options.refresh_every
    async with world.process():
        assert waits(world) == ("", None)
        world.faults.add("drop-before")
        await trio.sleep(rounds)
        lost, since = waits(world)
        assert "the connection was lost" in lost
        assert since is not None
        world.faults.clear()
        world.faults.add("parse-error")
        await trio.sleep(rounds)
        refused, unchanged = waits(world)
        assert refused not in ("", lost)
        assert unchanged == since
        world.crash()
    async with world.process(ready=False):
        await trio.sleep(rounds)
        assert waits(world) == (refused, since)
        world.faults.clear()
        await trio.sleep(rounds)
        assert waits(world) == ("", None)
        world.faults.add("drop-before")
        await trio.sleep(rounds)
        again, later = waits(world)
        assert again == lost
        assert later is not None
        assert later >= since + 2 * rounds
