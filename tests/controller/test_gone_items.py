"""A create is open, its file is there and its item is not: half made, or of an old journal and robbed of its item."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotFinal
from rdscsi.model import Claim, Volume
from rdscsi.testing.orchestrator import Cluster, attach, wish
from rdscsi.testing.world import OPTIONS, World, open_world

WISH = wish("pvc-1", claim=Claim("default", "data"))
SHORT = replace(OPTIONS, abandon_after=100.0)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(dice=random.Random(1), away=0.0)


@pytest.fixture
async def asking(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, claims=cluster, options=SHORT) as made:
        yield made


async def in_use_by_an_old_journal(world: World) -> tuple[Volume, Path]:
    """The volume was handed out and let in; the copy of the journal has its create open; its item is gone."""
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(WISH)
        old = world.copied_journal("creating")
        volume = await process.controller.create_volume(WISH)
        await process.controller.publish_volume(attach(volume))
    world.machine.remove_by_hand(volume.volume_id.partition("/")[2])
    return volume, old


async def patience(world: World) -> None:
    await trio.sleep(3 * world.options.abandon_after)


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_file_that_a_persistent_volume_names_is_left_as_it_is(
    claimed: bool, asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    volume, old = await in_use_by_an_old_journal(asking)
    cluster.volumes = {volume.volume_id}
    cluster.claims = {volume.volume_id} if claimed else set()
    before = asking.machine.leaves()
    async with asking.process(old) as process:
        await patience(asking)
        assert asking.machine.leaves() == before
        [operation] = await process.journal.open_operations()
        assert operation.kind == "create"
        assert ("the claim default/data is there" if claimed else "a PersistentVolume names it") in operation.error


async def test_a_file_that_nobody_claims_is_erased(asking: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    _, old = await in_use_by_an_old_journal(asking)
    async with asking.process(old) as process:
        await patience(asking)
        assert not [leaf for leaf in asking.machine.leaves() if WISH.name in leaf or leaf.startswith("v")]
        assert await process.journal.open_operations() == []
        assert cluster.unclaimed == 1
