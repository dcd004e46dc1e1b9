"""Many volumes at once, and what the node half costs beside the bare commands."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from lab.nodes import csi
from lab.nodes.conftest import MakeVolume
from lab.nodes.volume import Volume
from lab.nodes.world import CLUSTER_ID, NodeMachine, World
from rdscsi import names
from rdscsi.csi.pb.csi.v1 import (
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    DeleteVolumeRequest,
    NodeUnstageVolumeRequest,
)
from rdscsi.sandbox import calls
from rdscsi.sandbox.client import Client

MIB = 1 << 20
MANY = int(os.environ.get("LAB_MANY", "6"))
"""How many are staged at once; LAB_MANY=50 is the full size, which takes minutes under emulation."""

MANY_SECONDS = 600.0
RESIDENT_LIMIT = 128 * MIB
STAGE_LIMIT = 8.0
"""Times the bare commands. Emulation makes Python some 17 times slower and the kernel's waiting not at all, so this
only notices when something goes wrong; the figure itself is printed."""


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


BARE = """
began=$(cut -d ' ' -f 1 /proc/uptime)
echo "$OPTIONS" >/dev/nvme-fabrics
until disk=$(ls -d /sys/class/nvme/*/nvme*n1 2>/dev/null) && [ -b /dev/${disk##*/} ]; do sleep 0.01; done
mkfs.ext4 -q /dev/${disk##*/}
mkdir -p /mnt/bare
mount /dev/${disk##*/} /mnt/bare
echo "$began $(cut -d ' ' -f 1 /proc/uptime)"
umount /mnt/bare
for controller in /sys/class/nvme/*; do echo 1 >$controller/delete_controller; done
"""


def bare_seconds(node: NodeMachine, volume: Volume) -> float:
    """How long connecting, mkfs and mount take by hand."""
    node_id = names.node_id(node.name)
    options = (
        f"transport=tcp,traddr=10.77.0.1,trsvcid=4420,nqn={volume.subnqn(node)},"
        f"hostnqn={names.hostnqn(CLUSTER_ID, node_id)},hostid={names.host_id(CLUSTER_ID, node_id)}"
    )
    began, ended = node.machine.run("sh", "-ec", BARE, env={"OPTIONS": options}).out.split()
    return float(ended) - float(began)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_staging_is_compared_with_the_bare_commands(
    world: World, make_volume: MakeVolume, record_property: Callable[[str, object], None]
) -> None:
    node, bare, driver = world.b, [], []
    for _ in range(3):
        by_hand, by_driver = make_volume(size=64 * MIB), make_volume(size=64 * MIB)
        by_hand.publish(node)
        by_driver.publish(node)
        node.machine.run("mkdir", "-p", by_driver.staging_path)
        bare.append(bare_seconds(node, by_hand))
        began = time.monotonic()
        csi.settle(node.endpoint, lambda client: client.node.node_stage_volume, by_driver.stage_request(node))
        driver.append(time.monotonic() - began)
        by_driver.unstage(node)
    times = min(driver) / min(bare)
    record_property("stage_beside_the_bare_commands", f"{min(driver):.2f} s, {min(bare):.2f} s: {times:.2f} times")
    assert times < STAGE_LIMIT
