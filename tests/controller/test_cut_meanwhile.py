"""An item is gone while a node is being cut off: what is added again does not let that node in again."""

import dataclasses
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotFinal
from rdscsi.model import Volume
from rdscsi.tags import NodeState, Tag, parse_tag
from rdscsi.testing.orchestrator import NODE_A, NODE_B, SHARED, attach, settle, wish
from rdscsi.testing.world import Process, World


async def published(process: Process, *nodes: str) -> Volume:
    volume = await process.controller.create_volume(dataclasses.replace(wish("pvc-1"), capabilities=(SHARED,)))
    for node in nodes:
        await process.controller.publish_volume(attach(volume, node, SHARED))
    return volume


async def being_cut_off(world: World, process: Process, volume: Volume, node: str) -> None:
    """The line that cuts the node off never arrives; meanwhile somebody removes the item."""
    world.faults.add("drop-before", contains="/disk/set", times=1)
    with pytest.raises(NotFinal):
        await process.controller.unpublish_volume(volume.volume_id, node)
    world.machine.remove_by_hand(slot(volume))


def slot(volume: Volume) -> str:
    return volume.volume_id.partition("/")[2]


def tagged(world: World, volume: Volume) -> Tag:
    tag = parse_tag(world.machine.items()[slot(volume)].comment)
    assert tag is not None
    return tag


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(600):
        while not holds():
            await trio.sleep(1)


async def test_a_node_that_was_being_cut_off_stays_out(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await published(process, NODE_A)
        await being_cut_off(world, process, volume, NODE_A)
        await until(lambda: slot(volume) in world.machine.items())
        await process.wait_settled()
        assert not world.machine.items()[slot(volume)].export
        assert tagged(world, volume).active_nodes == ()
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        await settle(lambda: process.controller.delete_volume(volume.volume_id))


async def test_its_neighbour_stays_in_and_it_may_still_be_writing(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await published(process, NODE_A, NODE_B)
        await being_cut_off(world, process, volume, NODE_A)
        await until(lambda: slot(volume) in world.machine.items())
        await process.wait_settled()
        assert world.machine.items()[slot(volume)].export
        publication = tagged(world, volume).publication
        assert publication is not None
        states = {node.names(NODE_A): node.state for node in publication.nodes}
        assert states == {True: NodeState.DIRTY, False: NodeState.PUBLISHED}


@pytest.mark.parametrize("statement", ["/disk/add", "/disk/set"])
async def test_a_repair_that_takes_the_place_of_a_repair_cuts_off_too(
    statement: str, world: World, autojump_clock: MockClock
) -> None:
    """The first one is interrupted, and the item removed once more: another repair is found."""
    async with world.process() as process:
        volume = await published(process, NODE_A)
        await being_cut_off(world, process, volume, NODE_A)
        world.faults.add("drop-after", contains=statement, times=1)
        await until(lambda: slot(volume) in world.machine.items())
        world.machine.remove_by_hand(slot(volume))
    async with world.process() as process:
        await until(lambda: slot(volume) in world.machine.items())
        await process.wait_settled()
        assert not world.machine.items()[slot(volume)].export
        kinds = {one.kind: one.state for one in await process.journal.operations() if one.kind != "restore"}
        assert kinds["unpublish"] == "superseded"


async def test_an_old_copy_of_the_journal_lets_nobody_in_whose_unpublish_was_answered_since(
    world: World, autojump_clock: MockClock
) -> None:
    """The copy has the unpublish open; then it was answered, and the item is gone. Found by a seed."""
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        await process.controller.publish_volume(attach(volume))
        world.faults.add("drop-before", contains="/disk/set", times=1)
        with pytest.raises(NotFinal):
            await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        old = world.copied_journal("unpublishing")
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
    world.machine.remove_by_hand(slot(volume))  # as a delete that was cut off in the middle of its line does
    async with world.process(old) as process:
        await settle(lambda: process.controller.delete_volume(volume.volume_id))
        assert slot(volume) not in world.machine.items()
