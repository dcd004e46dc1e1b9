"""What tests of staging and publishing on a simulated machine share."""

from dataclasses import replace

import pytest

from rdscsi.errors import OutcomeUnknown
from rdscsi.host.simulated import disk
from rdscsi.host.simulated.disk import Filesystem
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

MKFS, CONNECT, DISCONNECT = "make_filesystem", "connect", "disconnect"


def staging(world: NodeWorld, volume: NodeVolume) -> str:
    return world.path(f"{volume.name}-staged")


def put_on_disk(volume: NodeVolume, **fields: object) -> None:
    filesystem = Filesystem("ext4", volume.size_bytes, files={"file": "data"})
    disk.write_filesystem(volume.file, replace(filesystem, **fields))  # type: ignore[arg-type]


async def assert_nothing_staged(process: NodeProcess) -> None:
    assert process.host.kernel.attached == {}
    assert process.host.kernel.mounts == []
    assert await process.journal.stages() == []
    assert await process.journal.open_operations() == []


async def staged(world: NodeWorld, process: NodeProcess, name: str = "pvc-1", **wishes: object) -> NodeVolume:
    volume = world.volume(name, **wishes)  # type: ignore[arg-type]
    await process.node.stage(world.stage_request(volume))
    return volume


def at(process: NodeProcess, path: str) -> list[bool]:
    """The mounts of a path, by whether they are read-only."""
    return [mount.readonly for mount in process.host.kernel.mounts if mount.mount_point == path]


async def leave_open(world: NodeWorld, process: NodeProcess, volume: NodeVolume, target: str) -> None:
    """Let the publishing at a target be begun and not finished."""
    process.life.at, process.life.fault = len(process.life.effects) + 1, "unknown before"
    with pytest.raises(OutcomeUnknown):
        await process.node.publish(world.publish_request(volume, target))
    assert [one.subject for one in await process.journal.open_operations()] == [world.path(target)]
