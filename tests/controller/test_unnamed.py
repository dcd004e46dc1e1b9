"""Volumes that a new journal found on the appliance, and whose create nobody was told of (docs/adr/0012)."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from claims_rig import Cluster, patience
from snapshots_rig import restored
from trio.testing import MockClock

from rdscsi.controller.unnamed import WHY
from rdscsi.journal import OperationRecord
from rdscsi.journal import asking as wishes
from rdscsi.journal.reading import read_journal
from rdscsi.model import ContentSource, Volume
from rdscsi.testing.orchestrator import NODE_A, attach, wish
from rdscsi.testing.world import Process, World

LOST = "fresh.db"
"""The journal of the process that comes after the one whose journal is lost."""


def marked(world: World) -> list[tuple[str, str]]:
    with read_journal(world.directory / LOST) as reading:
        return [(one.volume_id, one.why) for one in reading.unclaimed()]


async def made(world: World, name: str = "pvc-1") -> Volume:
    async with world.process() as process:
        return await process.controller.create_volume(wish(name))


async def abandoned(world: World, process: Process, volume_id: str) -> OperationRecord:
    asked = wishes.ask(world.directory / LOST, wishes.ABANDON, volume_id, {}, now=0.0)
    await trio.sleep(2.5 * world.options.refresh_every)
    found = await process.journal.operation_record(asked)
    assert found is not None
    return found


async def test_what_nobody_names_is_shown_after_patience_and_a_person_deletes_it(
    asking: World, autojump_clock: MockClock
) -> None:
    volume = await made(asking)
    async with asking.process(asking.directory / LOST) as process:
        await trio.sleep(asking.options.abandon_after / 2)
        assert marked(asking) == []
        await patience(asking)
        assert marked(asking) == [(volume.volume_id, WHY)]
        done = await abandoned(asking, process, volume.volume_id)
        assert (done.state, "it is deleted" in done.outcome) == ("done", True)
        assert (await process.controller.list_volumes(0, "")).volumes == ()


async def test_what_a_persistent_volume_names_is_not_shown(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    volume = await made(asking)
    cluster.volumes.add(volume.volume_id)
    async with asking.process(asking.directory / LOST):
        await patience(asking)
        assert marked(asking) == []
        cluster.volumes.clear()  # it went, and its DeleteVolume is on the way
        await patience(asking)
        assert marked(asking) == []


async def test_the_mark_goes_when_a_persistent_volume_comes(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """And a person who has seen the mark before deletes nothing any more."""
    volume = await made(asking)
    async with asking.process(asking.directory / LOST) as process:
        await patience(asking)
        assert marked(asking) != []
        cluster.volumes.add(volume.volume_id)
        asked = wishes.ask(asking.directory / LOST, wishes.ABANDON, volume.volume_id, {}, now=0.0)
        await patience(asking)
        assert marked(asking) == []
        refused = await process.journal.operation_record(asked)
        assert refused is not None
        assert refused.state == "refused"
        assert "a PersistentVolume names it" in refused.error
        assert len((await process.controller.list_volumes(0, "")).volumes) == 1


async def _asked_again(process: Process, volume: Volume) -> None:
    assert await process.controller.create_volume(wish("pvc-1")) == volume


async def _published(process: Process, volume: Volume) -> None:
    await process.controller.publish_volume(attach(volume, NODE_A))


@pytest.mark.parametrize("asks", [_asked_again, _published])
async def test_the_mark_goes_when_somebody_asks(
    asks: Callable[[Process, Volume], Awaitable[None]], asking: World, autojump_clock: MockClock
) -> None:
    volume = await made(asking)
    async with asking.process(asking.directory / LOST) as process:
        await patience(asking)
        assert marked(asking) != []
        await asks(process, volume)
        assert marked(asking) == []


async def test_while_nobody_can_tell_nothing_is_shown(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    volume = await made(asking)
    cluster.away = "the API server is away"
    async with asking.process(asking.directory / LOST) as process:
        await patience(asking)
        await patience(asking)
        assert marked(asking) == []
        await process.wait_settled()
        cluster.away = ""
        await patience(asking)
        assert marked(asking) == [(volume.volume_id, WHY)]


async def test_with_nobody_to_ask_nothing_is_shown(trusting: World, autojump_clock: MockClock) -> None:
    await made(trusting)
    async with trusting.process(trusting.directory / LOST):
        await patience(trusting)
        await patience(trusting)
        assert marked(trusting) == []


async def test_copies_count_and_who_was_let_in_does_not(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with asking.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        copy = await process.controller.create_volume(restored("pvc-2", ContentSource(volume_id=volume.volume_id)))
        await process.controller.publish_volume(attach(volume, NODE_A))
    async with asking.process(asking.directory / LOST):
        await patience(asking)
        assert marked(asking) == [(copy.volume_id, WHY)]


async def test_a_journal_that_made_the_volume_asks_nobody(
    asking: World, cluster: Cluster, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cluster, "named", partial(_noted, asked))
    async with asking.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
        await patience(asking)
        await patience(asking)
    assert asked == []


async def _noted(asked: list[object], volume_ids: object) -> set[str]:
    asked.append(volume_ids)
    return set()
