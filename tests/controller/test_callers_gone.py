"""Creates that end after all their callers have gone: left open, so that nobody's are given up (docs/adr/0006)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from claims_rig import CLAIM, SHORT, WISH, Cluster, patience, the_create, there
from trio.testing import MockClock

from rdscsi.model import VolumeRequest
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.world import Process, World, open_world


async def left_alone(process: Process, request: VolumeRequest = WISH) -> None:
    """Its caller goes while the volume is being made; the operation goes on and ends by itself."""
    with trio.move_on_after(0.5):
        await process.controller.create_volume(request)
    await process.operations.wait_idle((await the_create(process.journal)).subject)


@pytest.fixture
async def slow(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, claims=cluster, options=SHORT, delay=lambda _: 1.0) as made:
        yield made


async def test_a_create_that_ends_after_its_caller_has_gone_is_given_up_too(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """The same process goes on, nothing fails, and nobody was told of the volume."""
    before = holdings(slow.machine)
    async with slow.process() as process:
        await left_alone(process)
        assert (await the_create(process.journal)).state == "open"
        await patience(slow)
        operation = await the_create(process.journal)
        assert (operation.state, cluster.asked) == ("refused", [(operation.subject, "pvc-1", CLAIM)])
        gone = Promises(gone={operation.subject})
        assert await violations(slow.machine, process.journal, gone, before) == []


async def test_a_caller_that_left_and_comes_back_gets_the_volume_that_was_made(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with slow.process() as process:
        await left_alone(process)
        made = slow.machine.items()
        volume = await process.controller.create_volume(WISH)
        assert slow.machine.items() == made
        assert (await the_create(process.journal)).state == "done"
        await patience(slow)
        assert cluster.asked == []
        assert await there(process.controller, volume)


async def test_of_two_callers_one_that_stays_is_enough(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with slow.process() as process:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.controller.create_volume, WISH)
            with trio.move_on_after(0.5):
                await process.controller.create_volume(WISH)
        assert (await the_create(process.journal)).state == "done"
        await patience(slow)
        assert cluster.asked == []
