"""Many volumes at once, and what the node half costs beside the bare commands."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

import pytest
import trio

from lab.nodes import csi
from lab.nodes.conftest import MakeVolume
from lab.nodes.volume import Volume
from lab.nodes.world import CLUSTER_ID, PORTALS, NodeMachine, World
from rdscsi import names
from rdscsi.csi.pb.csi.v1 import (
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    DeleteVolumeRequest,
    NodeUnstageVolumeRequest,
    ProbeRequest,
)
from rdscsi.host.filesystems import make_argv
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import Client

MIB = 1 << 20
MANY = int(os.environ.get("LAB_MANY", "6"))
"""How many are staged at once; LAB_MANY=50 is the full size, which takes minutes under emulation."""

MANY_SECONDS = 600.0
RESIDENT_LIMIT = 128 * MIB
STAGE_LIMIT = 3.0
"""Times the commands. Emulation makes Python some 17 times slower and the kernel's waiting not at all, so this only
notices when something goes wrong; the figure itself is printed."""


def at_once(endpoint: str, works: list[Callable[[Client], Awaitable[object]]]) -> None:
    """Make calls side by side, each until it is settled."""

    async def all_of_them(client: Client) -> None:
        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work, client)

    csi.run(endpoint, all_of_them, seconds=MANY_SECONDS)


async def create_and_publish(volume: Volume, node: NodeMachine, client: Client) -> None:
    request = calls.create(volume.name, volume.size, volume.capability)
    answer = await client.settle(client.controller.create_volume, request)
    assert answer.volume is not None
    volume.volume_id, volume.size = answer.volume.volume_id, answer.volume.capacity_bytes
    published = await client.settle(
        client.controller.controller_publish_volume,
        ControllerPublishVolumeRequest(
            volume_id=volume.volume_id, node_id=names.node_id(node.name), volume_capability=volume.capability
        ),
    )
    volume.contexts[node.name] = dict(published.publish_context)


async def stage(volume: Volume, node: NodeMachine, client: Client) -> None:
    await client.settle(client.node.node_stage_volume, volume.stage_request(node))


async def unstage(volume: Volume, client: Client) -> None:
    request = NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=volume.staging_path)
    await client.settle(client.node.node_unstage_volume, request)


async def unpublish_and_delete(volume: Volume, node: NodeMachine, client: Client) -> None:
    await client.settle(
        client.controller.controller_unpublish_volume,
        ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id=names.node_id(node.name)),
    )
    await client.settle(client.controller.delete_volume, DeleteVolumeRequest(volume_id=volume.volume_id))


@pytest.mark.timeout(1200)
def test_many_volumes_are_staged_at_once(world: World, record_property: Callable[[str, object], None]) -> None:
    node = world.b
    volumes = [Volume(world, f"many-{number}", calls.block(), 16 * MIB) for number in range(MANY)]
    at_once(world.controller, [partial(create_and_publish, volume, node) for volume in volumes])
    node.machine.run("mkdir", "-p", *(volume.staging_path for volume in volumes))
    began = time.monotonic()
    at_once(node.endpoint, [partial(stage, volume, node) for volume in volumes])
    seconds = time.monotonic() - began
    try:
        live = node.machine.run("sh", "-c", "cat /sys/class/nvme/*/subsysnqn").out.split()
        assert sorted(live) == sorted(volume.subnqn(node) for volume in volumes)
        resident = node.plugin.resident_bytes()
        record_property(f"{MANY}_volumes_staged_at_once", f"{seconds:.1f} s")
        record_property(f"plugin_resident_with_{MANY}_volumes", f"{resident / MIB:.0f} MiB")
        assert resident < RESIDENT_LIMIT
    finally:
        at_once(node.endpoint, [partial(unstage, volume) for volume in volumes])
        at_once(world.controller, [partial(unpublish_and_delete, volume, node) for volume in volumes])
    assert node.machine.run("sh", "-c", "ls -d /sys/class/nvme/* /sys/class/nvme-subsystem/*", check=False).out == ""


CONNECT = """nvme connect -t tcp -a $ADDRESS -s $PORT -n $NQN -q $HOST_NQN -I $HOST_ID"""
WRITE = """
echo "transport=tcp,traddr=$ADDRESS,trsvcid=$PORT,nqn=$NQN,hostnqn=$HOST_NQN,hostid=$HOST_ID" >/dev/nvme-fabrics
"""
BY_HAND = """
read -r began rest </proc/uptime
{connect}
disk=
until [ -b "$disk" ]; do
    set -- /sys/class/nvme/*/nvme*n1
    disk=/dev/${{1##*/}}
    [ -b "$disk" ] || sleep 0.01
done
$MKFS $disk
mkdir -p /mnt/bare
mount $disk /mnt/bare
read -r ended rest </proc/uptime
umount /mnt/bare
for controller in /sys/class/nvme/*; do echo 1 >$controller/delete_controller; done
echo $began $ended
"""
ROUNDS = 5


def seconds_by_hand(node: NodeMachine, volume: Volume, connect: str) -> float:
    """How long connecting, mkfs and mount take by hand; mkfs with the driver's options."""
    node_id = names.node_id(node.name)
    environment = {
        "ADDRESS": PORTALS[0],
        "PORT": "4420",
        "NQN": volume.subnqn(node),
        "HOST_NQN": names.hostnqn(CLUSTER_ID, node_id),
        "HOST_ID": names.host_id(CLUSTER_ID, node_id),
        "MKFS": " ".join(make_argv("ext4", (), force=False)),
    }
    said = node.machine.run("sh", "-ec", BY_HAND.format(connect=connect), env=environment).out
    began, ended = said.splitlines()[-1].split()
    return float(ended) - float(began)


def seconds_by_driver(node: NodeMachine, volume: Volume) -> tuple[float, float]:
    """How long the call takes, and how long it took to make the connection that it came by."""
    node.machine.run("mkdir", "-p", volume.staging_path)

    async def timed(client: Client) -> tuple[float, float]:
        begun = time.monotonic()
        await client.settle(client.identity.probe, ProbeRequest())
        connected = time.monotonic()
        await stage(volume, node, client)
        return time.monotonic() - connected, connected - begun

    seconds = csi.run(node.endpoint, timed)
    volume.unstage(node)
    return seconds


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_staging_is_compared_with_the_bare_commands(
    world: World, make_volume: MakeVolume, record_property: Callable[[str, object], None]
) -> None:
    """Beside the commands that a person runs, and beside the least that there is: the kernel's file instead of nvme."""
    node = world.b
    driver: list[float] = []
    connecting: list[float] = []
    by_hand: dict[str, list[float]] = {CONNECT: [], WRITE: []}
    for _ in range(ROUNDS):
        for connect, times in by_hand.items():
            times.append(seconds_by_hand(node, _published(make_volume, node), connect))
        seconds, before = seconds_by_driver(node, _published(make_volume, node))
        driver.append(seconds)
        connecting.append(before)
    record_property("stage_connection_of_its_own", f"median {median(connecting):.2f} s")
    for connect, beside in ((CONNECT, "nvme_connect_mkfs_mount"), (WRITE, "the_kernel's_file_mkfs_mount")):
        record_property(f"stage_beside_{beside}", _compared(driver, by_hand[connect]))
    assert median(driver) < STAGE_LIMIT * median(by_hand[CONNECT])


def _published(make_volume: MakeVolume, node: NodeMachine) -> Volume:
    volume = make_volume(size=64 * MIB)
    volume.publish(node)
    return volume


def _compared(driver: list[float], by_hand: list[float]) -> str:
    least, middle = min(driver) / min(by_hand), median(driver) / median(by_hand)
    return (
        f"median {median(driver):.2f} s, {median(by_hand):.2f} s: {middle:.2f} times;"
        f" least {min(driver):.2f} s, {min(by_hand):.2f} s: {least:.2f} times; first {driver[0]:.2f} s"
    )
