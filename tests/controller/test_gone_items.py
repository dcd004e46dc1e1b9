"""A create is open, its file is there and its item is not: half made, or of an old journal and robbed of its item."""

from pathlib import Path

import pytest
from claims_rig import WISH, Cluster, patience
from trio.testing import MockClock

from rdscsi.errors import NotFinal
from rdscsi.model import Standing
from rdscsi.testing.orchestrator import attach
from rdscsi.testing.world import World


async def in_use_by_an_old_journal(world: World) -> Path:
    """The volume was handed out and let in; the copy of the journal has its create open; its item is gone."""
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(WISH)
        old = world.copied_journal("creating")
        volume = await process.controller.create_volume(WISH)
        await process.controller.publish_volume(attach(volume))
    world.machine.remove_by_hand(volume.volume_id.partition("/")[2])
    return old


@pytest.mark.parametrize(
    ("standing", "words"),
    [(Standing.CLAIM, "the claim default/data is there"), (Standing.VOLUME, "a PersistentVolume names it")],
)
async def test_a_file_that_a_persistent_volume_names_is_left_as_it_is(
    standing: Standing, words: str, asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    old = await in_use_by_an_old_journal(asking)
    cluster.answer = standing
    before = asking.machine.leaves()
    async with asking.process(old) as process:
        for _ in range(3):
            await patience(asking)
        assert asking.machine.leaves() == before
        [operation] = await process.journal.open_operations()
        assert operation.kind == "create"
        assert words in operation.error
        assert (operation.subject, "pvc-1") == cluster.asked[0][:2]


async def test_a_file_that_nobody_claims_is_erased(asking: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    old = await in_use_by_an_old_journal(asking)
    async with asking.process(old) as process:
        await patience(asking)
        assert not [leaf for leaf in asking.machine.leaves() if WISH.name in leaf or leaf.startswith("v")]
        assert await process.journal.open_operations() == []
        assert len(cluster.asked) == 1
