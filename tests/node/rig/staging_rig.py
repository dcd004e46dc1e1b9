"""What tests of staging and publishing on a simulated machine share."""

from dataclasses import replace

import pytest
import trio

from rdscsi.config import NodeSettings
from rdscsi.errors import OutcomeUnknown
from rdscsi.host.ports import Controller
from rdscsi.host.simulated import disk
from rdscsi.host.simulated.disk import Filesystem
from rdscsi.testing.node import PORTALS, NodeProcess, NodeVolume, NodeWorld

AFTER = NodeSettings(node_name="node-a").forgotten_after
"""How long an export must be withdrawn until the sweep acts."""

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


async def pass_time(process: NodeProcess, seconds: float = 4 * AFTER) -> None:
    """Let the node do what it does by itself."""
    with trio.move_on_after(seconds):
        await process.node.recover()


async def forgotten(world: NodeWorld, process: NodeProcess, name: str = "pvc-1", **wishes: object) -> NodeVolume:
    """A volume that is staged, was never published, and is unpublished on the appliance."""
    volume = await staged(world, process, name, **wishes)
    world.exporter.withdraw(volume.subnqn)
    return volume


async def assert_staged(process: NodeProcess, volume: NodeVolume) -> None:
    assert [(one.volume_id, one.state) for one in await process.journal.stages()] == [(volume.volume_id, "staged")]
    assert volume.subnqn in process.host.kernel.attached


OTHER_PORTAL = replace(PORTALS[0], traddr="192.0.2.11")


def set_paths(process: NodeProcess, volume: NodeVolume, **states: str) -> None:
    """Let a volume be connected through its `first` and `second` portal, in these states."""
    portals = {"first": PORTALS[0], "second": OTHER_PORTAL}
    process.host.trouble.controllers[volume.subnqn] = tuple(
        Controller(portals[name], "host", state) for name, state in states.items()
    )


async def two_portals(world: NodeWorld, process: NodeProcess, name: str = "pvc-1") -> NodeVolume:
    """A volume that is staged through two portals, both live."""
    volume = world.volume(name)
    request = world.stage_request(volume)
    context = replace(request.publish_context, portals=(PORTALS[0], OTHER_PORTAL))
    await process.node.stage(replace(request, publish_context=context))
    set_paths(process, volume, first="live", second="live")
    process.host.trouble.multipath = True
    return volume
