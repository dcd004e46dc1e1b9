"""What a mounted volume lives through: its plugin killed, its appliance gone for a while, its path cut."""

import time

import pytest

from lab.nodes import csi
from lab.nodes.conftest import MIB, MakeVolume
from lab.nodes.world import NodeMachine, World
from lab.nodes.writer import Writer, blocks


def controller_states(node: NodeMachine) -> list[str]:
    return node.machine.run("sh", "-c", "cat /sys/class/nvme/*/state 2>/dev/null; true").out.split()


def wait_states(node: NodeMachine, *wanted: str, seconds: float = 60.0) -> None:
    """Wait until the node's NVMe controllers are in these states."""
    deadline = time.monotonic() + seconds
    while (states := controller_states(node)) != list(wanted):
        assert time.monotonic() < deadline, states
        time.sleep(0.2)


def test_a_killed_plugin_finds_what_it_had_staged(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume()
    volume.use(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    world.a.plugin.kill()
    writer.wait_more()
    world.a.restart()
    volume.stage(world.a)
    volume.mount(world.a)
    count = writer.stop()
    assert writer.read_back() == blocks(count)
    volume.leave(world.a)


def test_a_restart_of_the_appliance_only_makes_pods_wait(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume()
    volume.use(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    assert world.appliance.rds.end() == 0
    wait_states(world.a, "connecting", "connecting")
    world.appliance.rds.start()
    world.appliance.rds.wait_said("simulated RDS ready")
    writer.wait_more()
    count = writer.stop()
    assert writer.read_back() == blocks(count)
    volume.leave(world.a)


DURABLE_WRITE = "dd if=/dev/zero of={}/other bs=4096 count=1 conv=fsync 2>/dev/null"
"""Others succeed for a while on a filesystem whose disk is gone."""

NEW_UUID = """
subsystem=/sys/kernel/config/nvmet/subsystems/$NQN
rm /sys/kernel/config/nvmet/ports/4420/subsystems/$NQN
echo 0 >$subsystem/namespaces/1/enable
cat /proc/sys/kernel/random/uuid >$subsystem/namespaces/1/device_uuid
echo 1 >$subsystem/namespaces/1/enable
ln -s $subsystem /sys/kernel/config/nvmet/ports/4420/subsystems/$NQN
"""
"""What initiators see of an appliance that reboots and draws new UUIDs."""


@pytest.mark.slow
def test_a_volume_whose_uuid_changed_under_it_can_be_staged_again(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume()
    volume.use(world.a)
    written = volume.write(world.a)
    world.appliance.machine.run("sh", "-ec", NEW_UUID, env={"NQN": volume.subnqn(world.a)})
    world.a.machine.run("sh", "-c", f"while {DURABLE_WRITE.format(volume.target_path)}; do sleep 0.2; done")
    volume.unmount(world.a)
    csi.call(world.a.endpoint, lambda client: client.node.node_stage_volume, volume.stage_request(world.a))
    volume.mount(world.a)
    assert volume.checksum(world.a) == written
    volume.leave(world.a)


@pytest.mark.slow
def test_a_cut_path_that_returns_only_makes_pods_wait_and_shows_what_grew_meanwhile(
    world: World, make_volume: MakeVolume
) -> None:
    volume = make_volume()
    volume.use(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    world.a.machine.monitor(f"set_link {world.a.cable} off")
    try:
        wait_states(world.a, "connecting", "connecting")
        volume.expand(600 * MIB)  # nobody tells the node, and it could not hear it
    finally:
        world.a.machine.monitor(f"set_link {world.a.cable} on")
    writer.wait_more()
    assert volume.expand_on(world.a) >= 600 * MIB
    count = writer.stop()
    assert writer.read_back() == blocks(count)
    volume.leave(world.a)


def test_a_volume_whose_path_was_cut_for_too_long_can_be_staged_again(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume()
    volume.use(world.a)
    written = volume.write(world.a)
    world.a.machine.run("sh", "-c", "for file in /sys/class/nvme/*/ctrl_loss_tmo; do echo 1 >$file; done")
    world.a.machine.monitor(f"set_link {world.a.cable} off")
    try:
        wait_states(world.a)
    finally:
        world.a.machine.monitor(f"set_link {world.a.cable} on")
    volume.unmount(world.a)
    volume.stage(world.a)
    volume.mount(world.a)
    assert volume.checksum(world.a) == written
    volume.leave(world.a)
