"""Snapshot, restore and clone over real NVMe/TCP and a pool on a real Btrfs, with the data followed through them."""

import pytest

from lab.nodes import csi
from lab.nodes.conftest import MakeVolume
from lab.nodes.volume import MIB, Volume
from lab.nodes.world import NodeMachine, World
from lab.nodes.writer import Writer, blocks
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.sandbox import calls

LARGER = 640 * MIB


def take(world: World, name: str, volume: Volume) -> str:
    """CreateSnapshot; the snapshot's id."""
    request = pb.CreateSnapshotRequest(name=name, source_volume_id=volume.volume_id)
    taken = csi.settle(world.controller, lambda client: client.controller.create_snapshot, request).snapshot
    assert taken is not None
    assert taken.ready_to_use
    return taken.snapshot_id


def of_snapshot(snapshot_id: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSourceSnapshotSource(snapshot_id=snapshot_id))


def of_volume(volume: Volume) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(volume=pb.VolumeContentSourceVolumeSource(volume_id=volume.volume_id))


def read(volume: Volume, node: NodeMachine) -> list[str]:
    """The blocks of a writer in a volume, as a pod reads them now."""
    return node.machine.run("sh", "-c", f"tr -d '\\0' <{volume.data_path}").out.splitlines()


@pytest.mark.parametrize("fs_type", [pytest.param("ext4", marks=pytest.mark.slow), "xfs"])
def test_copies_hold_what_was_durable_and_outlive_what_they_were_made_of(
    world: World, make_volume: MakeVolume, fs_type: str
) -> None:
    capability = calls.filesystem(fs_type)
    volume = make_volume(capability)
    volume.use(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    durable = writer.count()
    snapshot = take(world, f"under load, {fs_type}", volume)
    writer.wait_more()
    written = writer.stop()
    restored = make_volume(capability, size=LARGER, source=of_snapshot(snapshot))
    clone = make_volume(capability, source=of_volume(volume))
    volume.leave(world.a)
    volume.delete()
    restored.use(world.b)
    found = read(restored, world.b)
    assert found == blocks(len(found))
    assert durable <= len(found) <= written
    room = int(world.b.machine.run("stat", "-f", "-c", "%b", restored.target_path).out)
    block = int(world.b.machine.run("stat", "-f", "-c", "%S", restored.target_path).out)
    assert room * block > volume.size, "it fills its larger device"
    csi.settle(
        world.controller,
        lambda client: client.controller.delete_snapshot,
        pb.DeleteSnapshotRequest(snapshot_id=snapshot),
    )
    last = make_volume(capability, source=of_volume(clone))
    clone.delete()
    last.use(world.a)
    assert read(last, world.a) == blocks(written)
    assert read(restored, world.b) == found
    last.leave(world.a)
    restored.leave(world.b)
