"""Two nodes on one block device: a virtual machine boots from it and moves, without a write being lost."""

from collections.abc import Callable, Iterator

import pytest

from lab import job
from lab.nodes import guest_disk
from lab.nodes.conftest import MakeVolume
from lab.nodes.virtual_machine import VirtualMachine
from lab.nodes.volume import Volume
from lab.nodes.world import NodeMachine, World
from lab.nodes.writer import Writer
from rdscsi.csi.pb.csi.v1 import (
    VolumeCapability,
    VolumeCapabilityAccessMode,
    VolumeCapabilityAccessModeMode,
    VolumeCapabilityBlockVolume,
)

MIB = 1 << 20
SHARED = VolumeCapability(
    block=VolumeCapabilityBlockVolume(),
    access_mode=VolumeCapabilityAccessMode(mode=VolumeCapabilityAccessModeMode.MULTI_NODE_MULTI_WRITER),
)
MIGRATION = "tcp:10.77.0.3:7777"


StartVm = Callable[[NodeMachine, str, str], VirtualMachine]


@pytest.fixture
def start_vm(make_volume: MakeVolume) -> Iterator[StartVm]:
    """Starts virtual machines that end before their volumes do: node, disk, address of what comes in."""
    started: list[VirtualMachine] = []

    def start(node: NodeMachine, disk: str, incoming: str) -> VirtualMachine:
        started.append(VirtualMachine(node, disk, incoming=incoming))
        return started[-1]

    yield start
    for machine in started:
        machine.end()


def install(node: NodeMachine, volume: Volume) -> None:
    """Write the boot sector."""
    orders = job.Orders(stdin=guest_disk.boot_sector())
    running = node.machine.start(("dd", f"of={volume.target_path}", "conv=notrunc,fsync"), orders)
    assert node.machine.wait(running, job.Collected().sinks, 60.0) == 0


def content(node: NodeMachine, volume: Volume) -> bytes:
    """The sectors that the virtual machine writes, and its boot sector, as the node reads them past its cache."""
    length = (guest_disk.LAST + 1) * guest_disk.SECTOR
    script = f"dd if={volume.target_path} iflag=direct bs=4096 count=8 status=none | head -c {length} | od -An -v -tx1"
    return bytes.fromhex(node.machine.run("sh", "-c", script).out)


def test_a_virtual_machine_boots_from_the_volume_and_moves_with_its_disk_whole(
    world: World, make_volume: MakeVolume, start_vm: StartVm
) -> None:
    volume = make_volume(SHARED, 64 * MIB)
    volume.use(world.a)
    install(world.a, volume)
    here = start_vm(world.a, volume.target_path, "")
    here.wait_printed(4)
    volume.use(world.b)
    assert volume.contexts["a"] == volume.contexts["b"]
    there = start_vm(world.b, volume.target_path, MIGRATION)
    there.wait_answer("inmigrate", "info status")
    here.order(f"migrate {MIGRATION}")
    here.wait_answer("postmigrate", "info status")
    written = here.printed()
    here.end()
    volume.leave(world.a)  # as soon as the virtual machine has moved, its first pod ends
    there.wait_printed(guest_disk.LAST - len(written))
    assert written + there.printed() == "." * guest_disk.LAST
    there.end()
    assert content(world.b, volume) == guest_disk.disk(guest_disk.LAST)
    volume.leave(world.b)


def test_a_third_node_is_refused_while_two_share_and_after_one_left(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume(SHARED, 64 * MIB)
    third = NodeMachine("c", world.a.machine, world.a.plugin, world.a.endpoint)
    volume.publish(world.a)
    volume.publish(world.b)
    assert volume.publish_refusal(third).code == "FAILED_PRECONDITION"
    volume.unpublish(world.a)
    assert volume.publish_refusal(third).code == "FAILED_PRECONDITION"
    volume.unpublish(world.b)
    volume.publish(third)
    volume.unpublish(third)


def test_a_node_that_crashed_in_the_middle_of_a_migration_is_cut_off_with_the_last_one(
    world: World, make_volume: MakeVolume
) -> None:
    """What a lost node keeps of a shared volume ends when nobody has it any more; the next epoch is not its."""
    volume = make_volume(SHARED, 64 * MIB)
    volume.use(world.a)
    volume.use(world.b)
    world.a.machine.run("sh", "-c", "for file in /sys/class/nvme/*/ctrl_loss_tmo; do echo 2 >$file; done")
    writer = Writer(world.a, volume.data_path)
    writer.wait_more()
    volume.unpublish(world.a)  # forced: never unstaged, so it writes on
    writer.wait_more()
    volume.leave(world.b)
    assert writer.wait_end().startswith("failed")
    volume.use(world.b)
    before = volume.checksum(world.b, 1)
    volume.unmount(world.a)
    volume.unstage(world.a)
    assert volume.checksum(world.b, 1) == before
    volume.leave(world.b)
