"""A volume's life on two nodes, one after the other, with its data followed through it."""

import pytest

from lab.nodes.conftest import MakeVolume
from lab.nodes.world import World
from rdscsi.csi.pb.csi.v1 import VolumeCapability
from rdscsi.sandbox import calls


@pytest.mark.parametrize(
    "capability",
    [
        pytest.param(calls.filesystem("ext4"), id="ext4", marks=pytest.mark.slow),
        pytest.param(calls.filesystem("xfs"), id="xfs"),
        pytest.param(calls.block(), id="block", marks=pytest.mark.slow),
    ],
)
def test_data_written_on_one_node_is_read_on_the_other(
    world: World, make_volume: MakeVolume, capability: VolumeCapability
) -> None:
    volume = make_volume(capability)
    volume.use(world.a)
    written = volume.write(world.a)
    volume.leave(world.a)
    volume.use(world.b)
    assert volume.checksum(world.b) == written
    volume.leave(world.b)
    for node in world.nodes:
        assert (
            node.machine.run("sh", "-c", "ls -d /sys/class/nvme/* /sys/class/nvme-subsystem/*", check=False).out == ""
        )
        assert volume.name not in node.machine.run("cat", "/proc/self/mountinfo").out
