"""A node that was cut off writes no more, is not let back, and does not wedge; an old path opens no new disk."""

from lab.nodes.conftest import MakeVolume
from lab.nodes.volume import Volume
from lab.nodes.world import CLUSTER_ID, NodeMachine, World
from lab.nodes.writer import Writer, blocks
from rdscsi import names
from rdscsi.sandbox import calls


def connect_by_hand(node: NodeMachine, subnqn: str) -> str:
    """Try to connect as this node, past the driver; what the kernel says."""
    node_id = names.node_id(node.name)
    options = ",".join(
        (
            f"transport=tcp,traddr=10.77.0.1,trsvcid=4420,nqn={subnqn}",
            f"hostnqn={names.hostnqn(CLUSTER_ID, node_id)},hostid={names.host_id(CLUSTER_ID, node_id)}",
        )
    )
    return node.machine.run("sh", "-c", f"echo {options} 2>&1 >/dev/nvme-fabrics", check=False).out


def force_detach(volume: Volume, node: NodeMachine) -> None:
    """What the orchestrator does about a node that is out of service: ControllerUnpublish without an unstage."""
    volume.unpublish(node)


def test_after_a_forced_detach_the_old_node_writes_no_more(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume()
    volume.use(world.a)
    old = volume.subnqn(world.a)
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    # As long as an initiator tries, writes wait; so that the test does not wait too, it gives up soon.
    world.a.machine.run("sh", "-c", "for file in /sys/class/nvme/*/ctrl_loss_tmo; do echo 2 >$file; done")
    force_detach(volume, world.a)
    volume.use(world.b)
    assert volume.subnqn(world.b) != old
    before = volume.world.b.machine.run("sha256sum", volume.data_path).out
    assert writer.wait_end().startswith("failed")
    count = writer.count()
    assert "I/O error" in connect_by_hand(world.a, old)
    assert volume.checksum(world.b, 1) == volume.checksum(world.b, 1)
    assert volume.world.b.machine.run("sha256sum", volume.data_path).out == before
    text = world.b.machine.run("sh", "-c", f"head -c {count * 4096} {volume.data_path} | tr -d '\\0'").out
    assert text.splitlines() == blocks(count)
    volume.unmount(world.a)
    volume.unstage(world.a)
    volume.leave(world.b)


def test_an_old_published_device_never_opens_another_volume(world: World, make_volume: MakeVolume) -> None:
    first, second = make_volume(calls.block(), 64 << 20), make_volume(calls.block(), 64 << 20)
    first.use(world.a)
    first.write(world.a)
    number = world.a.machine.run("stat", "-c", "%t:%T", first.target_path).out
    world.a.machine.run("sh", "-c", "for file in /sys/class/nvme/*/delete_controller; do echo 1 >$file; done")
    second.use(world.a)
    secret = second.write(world.a)
    assert world.a.machine.run("stat", "-c", "%t:%T", second.target_path).out == number, (
        "not used again: nothing tested"
    )
    opened = world.a.machine.run("sh", "-c", f"head -c {8 << 20} {first.target_path} | sha256sum", check=False).out
    assert secret not in opened
    first.leave(world.a)
    assert second.checksum(world.a) == secret
    second.leave(world.a)
