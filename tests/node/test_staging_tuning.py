"""What a StorageClass and a node's settings say about connecting and formatting reaches the machine, and is kept."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from staging_rig import assert_nothing_staged, staging
from trio.testing import MockClock

from rdscsi.config import NodeSettings
from rdscsi.errors import FormatRefused, InvalidRequest
from rdscsi.host.ports import Connection, Device
from rdscsi.host.simulated import disk
from rdscsi.journal import changes
from rdscsi.model import AccessType, StageRequest, Tuning
from rdscsi.node.formatting import stamp_of
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

TUNING = Tuning(ctrl_loss_tmo=60, reconnect_delay=2, keep_alive_tmo=7, nr_io_queues=3, mkfs_options="-i 65536")


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    settings = NodeSettings(node_name="node-a", host_traddr="192.0.2.77", host_iface="eth1")
    return NodeWorld(tmp_path, settings)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


def tuned(world: NodeWorld, volume: NodeVolume, tuning: Tuning = TUNING) -> StageRequest:
    return replace(world.stage_request(volume), tuning=tuning)


def watch_connections(process: NodeProcess) -> list[Connection]:
    """Note what the machine is asked to connect."""
    seen: list[Connection] = []
    connect = process.host.connect

    async def watched(connection: Connection) -> Device:
        seen.append(connection)
        return await connect(connection)

    process.host.connect = watched  # type: ignore[method-assign]
    return seen


async def test_a_volume_is_connected_as_its_class_says_from_where_the_nodes_settings_say(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    seen = watch_connections(process)
    plain, other = world.volume("pvc-1"), world.volume("pvc-2")
    await process.node.stage(world.stage_request(plain))
    await process.node.stage(tuned(world, other))
    assert [connection.tuning for connection in seen] == [Tuning(), TUNING]
    assert {(one.host_traddr, one.host_iface) for one in seen} == {("192.0.2.77", "eth1")}


async def test_a_filesystem_is_made_with_the_options_of_its_class(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(tuned(world, volume))
    made = disk.read_filesystem(volume.file)
    assert made is not None
    assert (made.fs_type, made.options) == ("ext4", ["-i", "65536"])


async def test_options_of_another_filesystem_are_refused_before_anything_is_written(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="xfs")
    with pytest.raises(InvalidRequest, match=r"volume_context\[mkfsOptions\]='-i 65536': options that mkfs.xfs may"):
        await process.node.stage(tuned(world, volume))
    await assert_nothing_staged(process)
    assert not disk.is_stamped(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    assert disk.is_blank(volume.file, volume.size_bytes)


async def test_options_for_mkfs_stand_in_nobodys_way_where_nothing_is_made(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    made, block = world.volume("pvc-1", fs_type="xfs"), world.volume("pvc-2", access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(made))
    await process.node.unstage(made.volume_id, staging(world, made))
    await process.node.stage(tuned(world, made))
    await process.node.stage(tuned(world, block))
    assert len(await process.journal.stages()) == 2


async def test_the_command_for_a_person_makes_the_filesystem_of_the_class(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    with pytest.raises(FormatRefused, match=r"mkfs\.ext4 -i 65536 DEVICE"):
        await process.node.stage(tuned(world, volume))


async def test_a_volume_that_lost_its_connection_is_connected_again_as_its_class_says(
    world: NodeWorld, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    async with world.process() as process:
        await process.node.stage(tuned(world, volume))
        (record,) = await process.journal.stages()
        process.host.kernel.attached.clear()
        process.host.kernel.mounts.clear()
        process.host.kernel.save()
    async with world.process() as process:
        seen = watch_connections(process)
        await process.node.publish(world.publish_request(volume))
        assert [connection.tuning for connection in seen] == [TUNING]
        assert (await process.journal.stages())[0].volume_context == record.volume_context


async def test_what_is_staged_is_the_same_volume_however_its_volume_context_reads(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(tuned(world, volume))
    seen = watch_connections(process)
    await process.node.stage(tuned(world, volume, replace(TUNING, ctrl_loss_tmo=61)))
    assert len(seen) == 1  # and the machine finds it connected
    assert len(process.host.kernel.mounts) == 1


async def test_a_record_of_the_version_before_says_what_that_version_did(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    (record,) = await process.journal.stages()
    assert record.volume_context == "{}"  # the column's default, which a migration gives to all there are
    await process.journal.commit(changes.put_stage(replace(record, volume_context="{}")))
    process.host.kernel.attached.clear()
    process.host.kernel.mounts.clear()
    seen = watch_connections(process)
    await process.node.publish(world.publish_request(volume))
    assert [connection.tuning for connection in seen] == [Tuning()]
