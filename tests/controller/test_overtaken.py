"""Publishes, unpublishes and expansions that an old copy of the journal has open, and that time has overtaken (law 5).

However such an intent ended, by its own change, refused, superseded or with nothing to do, what came after it stands.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller import publications
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.controller import Controller
from rdscsi.controller.overtaken import stamp
from rdscsi.controller.publications import Publications
from rdscsi.errors import NotFinal, NotPermittedNow, Refused
from rdscsi.model import GIB, CapacityRange, Volume
from rdscsi.routeros.answers import Answer
from rdscsi.testing.orchestrator import NODE_A, NODE_B, attach, wish
from rdscsi.testing.world import Process, World


def _exported(world: World) -> list[str]:
    return [str(one.setting("nvme-tcp-server-nqn", "")) for one in world.appliance.storage.disks if one.exported]


async def test_an_old_publish_that_was_refused_since_lets_nobody_in(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a seed: nothing on the appliance told that the intent had ended."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("refuse", contains="nvme-tcp-export=yes", times=1)
        copies: list[Path] = []
        device = process.controller.backend.device
        unpublish = device.unpublish

        async def copied(slot: str, *, old_tag: str, new_tag: str) -> Answer:
            if not copies:
                copies.append(world.copied_journal("publishing"))
            return await unpublish(slot, old_tag=old_tag, new_tag=new_tag)

        monkeypatch.setattr(device, "unpublish", copied)
        with pytest.raises(Refused):
            await process.controller.publish_volume(attach(volume, NODE_A))
    async with world.process(copies[0]) as process:
        [intent] = await process.journal.open_operations()
        assert intent.kind == "publish"
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert not world.machine.items()[volume.volume_id.partition("/")[2]].export
        await process.controller.publish_volume(attach(volume, NODE_B))


async def test_an_old_publish_that_was_refused_for_another_node_lets_nobody_in(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume, NODE_A))
        backend = process.controller.backend
        publishing = Publications(backend)
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        wanted = publications._intent(attach(volume, NODE_B)) | stamp(backend, record)
        with pytest.raises(NotPermittedNow):
            async with process.journal.operation(publications.PUBLISH, volume.volume_id, wanted) as operation:
                old = world.copied_journal("publishing")
                await publishing.carry_out_publish(operation)
        item = world.machine.items()[volume.volume_id.partition("/")[2]]
        assert item.export
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
    async with world.process(old) as process:
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert not world.machine.items()[volume.volume_id.partition("/")[2]].export


@pytest.mark.parametrize("after", [False, True], ids=["before the line", "after the line"])
async def test_a_crash_while_a_refused_publish_is_marked_leaves_nothing_half_made(
    after: bool, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was answered: before the mark the intent is carried out, after it the intent is over."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("refuse", contains="nvme-tcp-export=yes", times=1)
        device, lines = process.controller.backend.device, list[str]()
        unpublish = device.unpublish

        async def dying(slot: str, *, old_tag: str, new_tag: str) -> Answer:
            lines.append(new_tag)
            if len(lines) == 2 and not after:
                world.crash()
            answer = await unpublish(slot, old_tag=old_tag, new_tag=new_tag)
            if len(lines) == 2:
                world.crash()
            return answer

        monkeypatch.setattr(device, "unpublish", dying)
        await process.controller.publish_volume(attach(volume, NODE_A))
    assert len(lines) == 2
    async with world.process() as process:
        await process.wait_settled()
        assert len(_exported(world)) == (0 if after else 1)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert _exported(world) == []
        await process.controller.publish_volume(attach(volume, NODE_B))


@pytest.mark.parametrize("line", ["file-size=", "comment="], ids=["half done", "nothing done"])
async def test_an_old_expansion_that_was_refused_since_grows_nothing(
    line: str, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a seed: nothing on the appliance told that the intent had ended."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("refuse", contains=line, times=1)
        copies: list[Path] = []
        look_at = process.controller.backend.look_at

        async def copied(slot: str) -> Entry:
            copies.append(world.copied_journal("expanding"))
            return await look_at(slot)

        monkeypatch.setattr(process.controller.backend, "look_at", copied)
        with pytest.raises(Refused):
            await process.controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
    async with world.process(copies[0]) as process:
        [intent] = await process.journal.open_operations()
        assert intent.kind == "expand"
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert world.machine.items()[volume.volume_id.partition("/")[2]].size == volume.capacity_bytes
        assert (
            await process.controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
        ).capacity_bytes == 2 * GIB


@pytest.mark.parametrize("after", [False, True], ids=["before the line", "after the line"])
async def test_a_crash_while_a_refused_expansion_is_marked_leaves_nothing_half_made(
    after: bool, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was answered: before the mark the intent is carried out, after it the intent is over."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("refuse", contains="file-size=", times=1)
        device, lines = process.controller.backend.device, list[str]()
        expand = device.expand

        async def dying(slot: str, *, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int) -> Answer:
            lines.append(new_tag)
            if len(lines) == 2 and not after:
                world.crash()
            answer = await expand(
                slot, old_tag=old_tag, new_tag=new_tag, size_bytes=size_bytes, need_free_bytes=need_free_bytes
            )
            if len(lines) == 2:
                world.crash()
            return answer

        monkeypatch.setattr(device, "expand", dying)
        await process.controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)
    assert len(lines) == 2
    async with world.process() as process:
        await process.wait_settled()
        grown = volume.capacity_bytes if after else 2 * GIB
        assert world.machine.items()[volume.volume_id.partition("/")[2]].size == grown


async def _copied_within(world: World, process: Process, method: str, call: Callable[[], Awaitable[object]]) -> Path:
    """Carry out a call, and copy the journal when its line of that method is about to be sent."""
    copies: list[Path] = []
    device = process.controller.backend.device
    send = getattr(device, method)

    async def copied(*args: object, **kwargs: object) -> object:
        copies.append(world.copied_journal(f"{method}-{len(copies)}"))
        return await send(*args, **kwargs)

    setattr(device, method, copied)
    await call()
    setattr(device, method, send)
    return copies[0]


@pytest.mark.parametrize("node_id", [NODE_A, ""], ids=["that node", "every node"])
async def test_an_old_unpublish_that_had_nothing_to_do_cuts_nobody_off(
    node_id: str, world: World, autojump_clock: MockClock
) -> None:
    """Found by a seed: what came after it had raised the generation by one, as it would have itself."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        unpublish = partial(process.controller.unpublish_volume, volume.volume_id, node_id)
        old = await _copied_within(world, process, "unpublish", unpublish)
        await process.controller.publish_volume(attach(volume, NODE_A))
        exported = _exported(world)
    async with world.process(old) as process:
        [intent] = await process.journal.open_operations()
        assert intent.kind == "unpublish"
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert _exported(world) == exported
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        assert _exported(world) == []


async def test_an_old_publish_that_had_nothing_to_do_lets_nobody_in(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        publish = partial(process.controller.publish_volume, attach(volume, NODE_A))
        await publish()
        old = await _copied_within(world, process, "publish", publish)
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
    async with world.process(old) as process:
        [intent] = await process.journal.open_operations()
        assert intent.kind == "publish"
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert _exported(world) == []


async def test_an_old_expansion_is_over_when_another_change_came_instead(
    world: World, autojump_clock: MockClock
) -> None:
    """It was refused before its marks were thought of: the publish that came after raised the generation by one."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        wanted = {"size_bytes": 2 * GIB, **stamp(process.controller.backend, record)}
        async with process.journal.operation("expand", volume.volume_id, wanted) as operation:
            old = world.copied_journal("expanding")
            await operation.fail(Refused("not now"))
        await process.controller.publish_volume(attach(volume, NODE_A))
    async with world.process(old) as process:
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert world.machine.items()[volume.volume_id.partition("/")[2]].size == volume.capacity_bytes


@dataclasses.dataclass
class Turn:
    """A call whose appliance is out of reach, the opposite that supersedes it, and what is true in the end."""

    first: Callable[[Controller, Volume], Awaitable[object]]
    then: Callable[[Controller, Volume], Awaitable[object]]
    published: bool = False


async def _publish(controller: Controller, volume: Volume) -> None:
    await controller.publish_volume(attach(volume, NODE_A))


async def _unpublish(controller: Controller, volume: Volume) -> None:
    await controller.unpublish_volume(volume.volume_id, NODE_A)


async def _expand_far(controller: Controller, volume: Volume) -> None:
    await controller.expand_volume(volume.volume_id, CapacityRange(2 * GIB), None)


async def _expand_not(controller: Controller, volume: Volume) -> None:
    await controller.expand_volume(volume.volume_id, CapacityRange(volume.capacity_bytes), None)


@pytest.mark.parametrize(
    "turn",
    [
        Turn(_publish, _unpublish),
        Turn(_unpublish, _publish, published=True),
        Turn(_expand_far, _expand_not),
    ],
    ids=["a publish by an unpublish", "an unpublish by a publish", "an expansion by a smaller one"],
)
async def test_an_old_intent_that_was_superseded_since_is_over(
    turn: Turn, world: World, autojump_clock: MockClock
) -> None:
    """Found by a seed: what superseded it had nothing to change, so that nothing on the appliance told of it."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        if turn.published:
            await _publish(process.controller, volume)
        world.faults.add("drop-before")
        for _ in range(2):  # the second attempt is the same intent
            with pytest.raises(NotFinal):
                await turn.first(process.controller, volume)
        [intent] = await process.journal.open_operations()
        old = world.copied_journal("superseded")
        world.faults.clear()
        await turn.then(process.controller, volume)
        assert await process.journal.open_operations() == []
        [last] = [one for one in await process.journal.operations() if one.state == "done"][:1]
        assert last.request["told"] == {"passed": intent.request["generation"]}
    async with world.process(old) as process:
        [found] = await process.journal.open_operations()
        assert found.id == intent.id
        await trio.sleep(200)
        assert await process.journal.open_operations() == []
        assert len(_exported(world)) == turn.published
        assert world.machine.items()[volume.volume_id.partition("/")[2]].size == volume.capacity_bytes
        await _unpublish(process.controller, volume)
        assert _exported(world) == []
