"""What the node tells of its paths, over the real kernel: lost, withdrawn, back; and one of two that is put back."""

import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from lab.guest import initiator
from lab.guest.lives import CLUSTER, live
from lab.guest.target import PORT, Target, sh
from rdscsi import names
from rdscsi.model import AccessMode, AccessType, Portal, PublishContext, StageRequest, VolumeCapability
from rdscsi.node.node import Node
from rdscsi.simulator.nvmet import CONFIGFS
from rdscsi.simulator.storage.exports import Export

SLOT = names.slot(names.KIND_VOLUME, CLUSTER, "pvc-1")
VOLUME_ID = names.volume_id("rds", SLOT)
EPOCH = names.epoch(bytes(10))
SUBNQN = names.subnqn(SLOT, EPOCH)
PORTALS = (Portal("127.0.0.1", PORT), Portal("127.0.0.2", PORT))
SECONDS = 60.0


async def stage(staging_path: Path, portals: tuple[Portal, ...], node: Node) -> None:
    capability = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "ext4", ())
    context = PublishContext(SUBNQN, portals, EPOCH)
    await node.stage(StageRequest(VOLUME_ID, str(staging_path), capability, context))


async def until(node: Node, reasons: set[str], storage: set[str]) -> None:
    """Watch until this is what the node tells."""
    seen: object = None
    with trio.move_on_after(SECONDS):
        while True:
            await node._watch.look()
            health = await node.volume_health(VOLUME_ID)
            seen = {one.reason for one in health.problems}, {one.reason for one in await node.storage_health()}
            if seen == (reasons, storage):
                return
            await trio.sleep(0.2)
    raise AssertionError(f"{seen}, and not {reasons}, {storage}")


async def losing(staging_path: Path, node: Node) -> None:
    port = CONFIGFS / "ports" / str(PORT) / "subsystems"
    await stage(staging_path, PORTALS[:1], node)
    await until(node, set(), set())
    links = [port / SUBNQN, *(link for link in port.iterdir() if link.name != SUBNQN)]
    targets = [link.resolve() for link in links]
    links[0].unlink()
    await until(node, {"PathsDown", "ExportWithdrawn"}, set())
    for link in links[1:]:
        link.unlink()  # with the last one the port is closed
    await until(node, {"PathsDown", "PortalUnreachable"}, {"PortalsUnreachable"})
    for link, target in zip(links, targets, strict=True):
        link.symlink_to(target)
    await until(node, set(), set())
    await node.unstage(VOLUME_ID, str(staging_path))


async def putting_back(staging_path: Path, node: Node) -> None:
    await stage(staging_path, PORTALS, node)
    await until(node, set(), set())
    controllers = initiator.controllers(SUBNQN)
    assert len(controllers) == 2
    (controllers[1] / "delete_controller").write_text("1")
    health = await node.volume_health(VOLUME_ID)
    assert [one.reason for one in health.problems] in (["PathMissing"], ["PathDown"])
    await until(node, set(), set())
    assert len(initiator.controllers(SUBNQN)) == 2
    await node.unstage(VOLUME_ID, str(staging_path))


@pytest.fixture
def staging_path(target: Target, tmp_path: Path) -> Path:
    volume = target.file()
    target.volume()
    target.nvmet.offer(Export(SUBNQN, volume.file))
    path = tmp_path / "staged"
    path.mkdir()
    return path


def run(directory: Path, work: Callable[[Node], Awaitable[None]]) -> None:
    async def told(node: Node) -> None:
        try:
            await work(node)
        except Exception:
            traceback.print_exc()  # the process of a life ends without a word
            raise

    status, _ = live(directory, told)
    assert status == 0


@pytest.mark.timeout(600)
def test_a_path_that_is_lost_is_told_with_what_the_portal_says(staging_path: Path, tmp_path: Path) -> None:
    run(tmp_path, partial(losing, staging_path))
    assert not initiator.controllers(SUBNQN)


@pytest.mark.timeout(600)
def test_one_of_two_paths_that_is_lost_is_put_back(staging_path: Path, tmp_path: Path) -> None:
    sh("ip", "address", "replace", "127.0.0.2/8", "dev", "lo")
    run(tmp_path, partial(putting_back, staging_path))
    assert not initiator.controllers(SUBNQN)
