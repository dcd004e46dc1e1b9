"""The sweep over real loop devices, filesystems and mounts; needs root."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from real_bench import SIZE, Bench

from rdscsi.host.devices import loops
from rdscsi.journal import changes
from rdscsi.model import AccessType
from rdscsi.testing.node import NodeVolume

pytestmark = pytest.mark.root


@pytest.mark.parametrize("access_type", list(AccessType))
async def test_what_was_forgotten_goes_and_its_data_is_whole(bench: Bench, access_type: AccessType) -> None:
    volume = bench.world.volume(size_bytes=SIZE, access_type=access_type)
    await bench.node.stage(bench.world.stage_request(volume))
    staging = Path(bench.world.path("pvc-1-staged"))
    if access_type is AccessType.MOUNT:
        (staging / "data").write_text("written")
        await bench.processes.check(("sync", "-f", str(staging)), deadline=60)
    await bench.sweep.look()
    assert not await bench.is_gone(volume)
    bench.world.exporter.withdraw(volume.subnqn)
    await bench.sweep.look()
    assert await bench.is_gone(volume)
    bench.world.publish(volume)
    volume.permit = False
    await bench.node.stage(bench.world.stage_request(volume))
    if access_type is AccessType.MOUNT:
        assert (staging / "data").read_text() == "written"
    await bench.node.unstage(volume.volume_id, str(staging))


async def _bound(bench: Bench, volume: NodeVolume) -> None:
    bench.world.exporter.export(volume.subnqn, volume.file)
    await bench.node.publish(bench.world.publish_request(volume))
    await bench.journal.commit(changes.drop_target(bench.world.path("pod")))
    bench.world.exporter.withdraw(volume.subnqn)


async def _held(bench: Bench, volume: NodeVolume) -> None:
    """As kubelet does with a block volume: a loop device on its device node."""
    await bench.node.publish(bench.world.publish_request(volume))
    pod = bench.world.path("pod")
    await bench.processes.check(("losetup", "--find", pod), deadline=60)
    await bench.node.unpublish(volume.volume_id, pod)


async def _stopped(bench: Bench, volume: NodeVolume) -> None:
    bench.world.exporter.exports.rename(bench.world.directory / "away")


Way = Callable[[Bench, NodeVolume], Awaitable[None]]
WAYS: list[tuple[AccessType, Way]] = [
    (AccessType.MOUNT, _bound),
    (AccessType.BLOCK, _held),
    (AccessType.MOUNT, _stopped),
]


@pytest.mark.parametrize(("access_type", "keep"), WAYS)
async def test_what_is_used_or_of_unknown_export_stays(bench: Bench, access_type: AccessType, keep: Way) -> None:
    volume = await bench.forgotten(access_type)
    await keep(bench, volume)
    try:
        await bench.sweep.look()
        assert [one.state for one in await bench.journal.stages()] == ["staged"]
        assert volume.subnqn in await bench.host.connected("nqn.")
    finally:
        for loop in loops.loops():
            device = await bench.host.find_device(volume.subnqn)
            if device is not None and loop.behind == device.number:
                loops.detach(loop)


async def test_an_orphan_goes(bench: Bench) -> None:
    volume = await bench.forgotten(AccessType.BLOCK)
    await bench.journal.commit(changes.drop_stage(volume.volume_id))
    await bench.sweep.look()
    assert await bench.is_gone(volume)
