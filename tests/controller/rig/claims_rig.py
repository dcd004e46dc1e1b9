"""What Kubernetes says of claims, and a create whose caller never comes back."""

import dataclasses
from collections.abc import Callable, Collection

import pytest
import trio

from rdscsi.controller.controller import Controller
from rdscsi.errors import ClusterUnavailable, DriverError, NotFinal
from rdscsi.journal import Journal, OperationRecord
from rdscsi.model import Claim, Standing, Volume, VolumeRequest
from rdscsi.testing.orchestrator import wish
from rdscsi.testing.world import OPTIONS, Process, World

CLAIM = Claim("default", "data")
SHORT = dataclasses.replace(OPTIONS, abandon_after=60.0)
WISH = dataclasses.replace(wish("pvc-1"), claim=CLAIM)


class Cluster:
    """Says what Kubernetes knows. `while_asked` happens while it is being asked."""

    def __init__(self) -> None:
        self.answer: Standing | DriverError = Standing.NOBODY
        self.asked: list[tuple[str, str, Claim]] = []
        self.volumes: set[str] = set()
        self.away = ""
        self.while_asked: Callable[[], None] = lambda: None

    async def standing(self, volume_id: str, csi_name: str, claim: Claim) -> Standing:
        self.asked.append((volume_id, csi_name, claim))
        await trio.lowlevel.checkpoint()
        self.while_asked()
        if isinstance(self.answer, DriverError):
            raise self.answer
        return self.answer

    async def named(self, volume_ids: Collection[str]) -> Collection[str]:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise ClusterUnavailable(self.away)
        return self.volumes & set(volume_ids)


async def orphaned(world: World, request: VolumeRequest = WISH) -> None:
    """The volume is made, the answer is lost, and with it the process."""
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(request)
        world.crash()


async def patience(world: World) -> None:
    await trio.sleep(world.options.abandon_after + 30)


async def the_create(journal: Journal) -> OperationRecord:
    [operation] = [one for one in await journal.operations() if one.kind == "create"]
    return operation


def world_volume_id(process: Process) -> str:
    backend = process.controller.backend
    return backend.volume_id(backend.slot("pvc-1"))


async def there(controller: Controller, volume: Volume) -> bool:
    return volume.volume_id in [one.volume_id for one in (await controller.list_volumes(0, "")).volumes]


def retag(world: World, *pairs: str) -> None:
    """Change the only volume's tag as somebody else's publish would."""
    [disk] = [one for one in world.appliance.storage.disks if one.slot.startswith("v")]
    comment = str(disk.setting("comment", ""))
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert comment.count(old) == 1
        comment = comment.replace(old, new)
    world.appliance.run(f'/disk/set [find where slot={disk.slot}] comment="{comment}"')
