"""Volumes that grow while pods write to them."""

import pytest

from lab.nodes.conftest import MakeVolume
from lab.nodes.world import World
from lab.nodes.writer import Writer, blocks
from rdscsi.csi.pb.csi.v1 import VolumeCapability
from rdscsi.sandbox import calls

MIB = 1 << 20


@pytest.mark.parametrize(
    "capability",
    [
        pytest.param(calls.filesystem("ext4"), id="ext4"),
        pytest.param(calls.filesystem("xfs"), id="xfs", marks=pytest.mark.slow),
        pytest.param(calls.block(), id="block", marks=pytest.mark.slow),
    ],
)
def test_a_volume_grows_under_a_writing_pod(
    world: World, make_volume: MakeVolume, capability: VolumeCapability
) -> None:
    volume = make_volume(capability)
    volume.use(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    volume.expand(600 * MIB)
    assert volume.expand_on(world.a) >= 600 * MIB
    writer.wait_more()
    count = writer.stop()
    assert writer.read_back() == blocks(count)
    if capability.block is not None:
        seen = world.a.machine.run("blockdev", "--getsize64", volume.target_path).out
    else:
        seen = world.a.machine.run("sh", "-c", f"stat -f -c '%b %S' {volume.target_path} | awk '{{print $1*$2}}'").out
    assert int(float(seen)) > 500 * MIB
    volume.leave(world.a)
