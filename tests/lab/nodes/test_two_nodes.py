"""Two nodes on one block device: a virtual machine boots from it and moves, without a write being lost."""

from collections.abc import Callable, Iterator

import pytest

from lab import job
from lab.nodes import guest_disk
from lab.nodes.conftest import MakeVolume
from lab.nodes.virtual_machine import VirtualMachine
from lab.nodes.volume import Volume
from lab.nodes.world import NodeMachine, World
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
    publish_beside(volume, world.a, world.b)
    volume.stage(world.b)
    volume.mount(world.b)
    there = start_vm(world.b, volume.target_path, MIGRATION)
    there.wait_answer("inmigrate", "info status")
    here.order(f"migrate {MIGRATION}")
    here.wait_answer("postmigrate", "info status")
    written = here.printed()
    here.end()
    volume.unmount(world.a)  # as soon as the virtual machine has moved, its first pod ends
    volume.unstage(world.a)
    there.wait_printed(guest_disk.LAST - len(written))
    assert written + there.printed() == "." * guest_disk.LAST
    there.end()
    assert content(world.b, volume) == guest_disk.disk(guest_disk.LAST)
    volume.unmount(world.b)
    volume.unstage(world.b)


def publish_beside(volume: Volume, first: NodeMachine, second: NodeMachine) -> None:
    """Let a second node in. The appliance lets any host in, so both halves of this can be tested apart."""
    volume.contexts[second.name] = volume.contexts[first.name]


@pytest.mark.xfail(reason="the controller lets one node in at a time", strict=True)
def test_a_third_node_is_refused(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume(SHARED, 64 * MIB)
    assert volume.publish(world.a) == volume.publish(world.b)
    third = NodeMachine("c", world.a.machine, world.a.plugin, world.a.endpoint)
    assert volume.publish_refusal(third).code == "FAILED_PRECONDITION"
