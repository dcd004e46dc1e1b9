"""NodeStageVolume over a simulated machine: what it never formats, and whose device it does not take."""

from dataclasses import replace

import pytest
from staging_rig import CONNECT, MKFS, assert_nothing_staged, put_on_disk, staging
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import (
    CommandFailed,
    DeviceUnavailable,
    FormatRefused,
    InvalidRequest,
    NotFound,
    NotPermittedNow,
    Quarantined,
)
from rdscsi.host.ports import Mount
from rdscsi.host.simulated import disk
from rdscsi.model import MIB, AccessType
from rdscsi.node.formatting import stamp_of
from rdscsi.testing.node import NodeProcess, NodeWorld

# --- refusing to format


async def test_a_blank_volume_without_a_permit_is_refused_with_the_command_that_allows_it(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    with pytest.raises(FormatRefused) as refused:
        await process.node.stage(world.stage_request(volume))
    text = str(refused.value)
    assert "is blank" in text
    assert f"nvme connect -t tcp -a 192.0.2.10 -s 4420 -n {volume.subnqn}" in text
    assert "mkfs.ext4 DEVICE" in text
    assert disk.is_blank(volume.file, volume.size_bytes)
    await assert_nothing_staged(process)


@pytest.mark.parametrize("permit", [True, False])
async def test_foreign_content_is_never_overwritten(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock, permit: bool
) -> None:
    volume = world.volume(permit=permit)
    with volume.file.open("r+b") as opened:
        opened.seek(volume.size_bytes - 1)
        opened.write(b"x")
    with pytest.raises(FormatRefused, match="something else than a filesystem"):
        await process.node.stage(world.stage_request(volume))
    assert volume.file.read_bytes()[-1:] == b"x"
    assert "write_stamp" not in process.life.effects
    await assert_nothing_staged(process)


async def test_another_filesystem_than_the_one_asked_for_is_kept(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(fs_type="xfs")
    put_on_disk(volume)
    with pytest.raises(FormatRefused, match="holds ext4, and xfs was asked for"):
        await process.node.stage(world.stage_request(volume))
    assert disk.read_filesystem(volume.file) is not None
    await assert_nothing_staged(process)


async def test_an_unreadable_volume_is_not_blank(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    process.host.trouble.unreadable.add(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.stage(world.stage_request(volume))
    assert MKFS not in process.life.effects
    process.host.trouble.unreadable.clear()
    await process.node.stage(world.stage_request(volume))


async def test_a_permit_for_reading_formats_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    with pytest.raises(FormatRefused, match="read-only"):
        await process.node.stage(world.stage_request(volume, readonly=True))
    assert MKFS not in process.life.effects


async def test_a_permit_is_used_once_and_a_volume_that_is_blank_again_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    request = world.stage_request(volume)
    await process.node.stage(request)
    await process.node.unstage(volume.volume_id, staging(world, volume))
    volume.file.write_bytes(b"")
    world.grow(volume, volume.size_bytes)
    with pytest.raises(FormatRefused, match="its data is lost"):
        await process.node.stage(request)
    assert process.life.effects.count(MKFS) == 1
    assert disk.is_blank(volume.file, volume.size_bytes)


async def test_a_filesystem_that_comes_between_the_look_and_mkfs_is_not_overwritten(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    write_stamp = process.host.write_stamp

    async def and_somebody_else(device: object, stamp: str) -> None:
        await write_stamp(device, stamp)  # type: ignore[arg-type]
        put_on_disk(volume)

    process.host.write_stamp = and_somebody_else  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="appears to contain a filesystem"):
        await process.node.stage(world.stage_request(volume))
    found = disk.read_filesystem(volume.file)
    assert found is not None
    assert found.files == {"file": "data"}


async def test_another_epochs_permit_finishes_what_an_earlier_one_began(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    put_on_disk(volume, whole=False)
    world.publish(volume)
    await process.node.stage(world.stage_request(volume))
    found = disk.read_filesystem(volume.file)
    assert found is not None
    assert found.whole


async def test_a_half_made_filesystem_without_a_permit_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(permit=False)
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of(volume.volume_id))
    with pytest.raises(FormatRefused, match="begun and not finished"):
        await process.node.stage(world.stage_request(volume))


async def test_another_volumes_stamp_permits_nothing(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    disk.write_stamp(volume.file, volume.size_bytes, stamp_of("rds/another"))
    with pytest.raises(FormatRefused):
        await process.node.stage(world.stage_request(volume))
    assert MKFS not in process.life.effects


# --- whose it is


async def test_an_id_of_no_form_is_not_found_and_another_clusters_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume())
    with pytest.raises(NotFound):
        await process.node.stage(replace(request, volume_id="foreign"))
    other = names.volume_id("rds", names.slot(names.KIND_VOLUME, "another cluster", "pvc-1"))
    with pytest.raises(InvalidRequest, match="another cluster"):
        await process.node.stage(replace(request, volume_id=other))
    assert CONNECT not in process.life.effects


async def test_the_publish_context_of_another_volume_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request, other = world.stage_request(world.volume()), world.stage_request(world.volume("pvc-2"))
    with pytest.raises(InvalidRequest, match="subnqn"):
        await process.node.stage(replace(request, publish_context=other.publish_context))
    assert CONNECT not in process.life.effects


async def test_options_that_are_not_allowed_are_refused_before_anything_is_done(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    request = world.stage_request(world.volume(flags=("noatime", "nobarrier")))
    with pytest.raises(InvalidRequest, match=r"mount_flags\[1\]"):
        await process.node.stage(request)
    await assert_nothing_staged(process)


async def test_a_device_smaller_than_it_ever_was_is_not_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.mounts.clear()
    process.host.kernel.attached[volume.subnqn].size_bytes = 32 * MIB
    with pytest.raises(Quarantined, match="it had"):
        await process.node.stage(world.stage_request(volume))


async def test_another_namespace_under_a_pod_that_uses_the_first_is_not_used(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.attached[volume.subnqn].file = str(world.exporter.file("stranger", volume.size_bytes))
    with pytest.raises(Quarantined, match="was staged"):
        await process.node.stage(world.stage_request(volume))


async def test_a_new_connection_may_show_another_identity(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.attached.clear()
    moved = volume.file.rename(volume.file.with_name("moved.img"))
    world.exporter.export(volume.subnqn, moved)
    await process.node.stage(world.stage_request(volume))
    assert (await process.journal.stages())[0].identity == str(moved.resolve())


async def test_something_else_mounted_at_the_staging_path_is_left_there(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    strange = Mount(staging(world, volume), (0, 99), "/", "tmpfs", "tmpfs", ("rw",), ("rw",))
    process.host.kernel.mounts.append(strange)
    with pytest.raises(NotPermittedNow, match="not this volume"):
        await process.node.stage(world.stage_request(volume))
    assert process.host.kernel.mounts == [strange]
    assert process.host.kernel.attached == {}
    assert await process.journal.open_operations() == []
    process.host.kernel.mounts.clear()
    await process.node.stage(world.stage_request(volume))


async def test_a_device_mounted_where_nobody_asked_for_it_is_left_there(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    await process.node.stage(world.stage_request(volume))
    process.host.kernel.mounts[0] = replace(process.host.kernel.mounts[0], mount_point="/somewhere")
    with pytest.raises(NotPermittedNow, match="/somewhere"):
        await process.node.stage(world.stage_request(volume))
    assert [mount.mount_point for mount in process.host.kernel.mounts] == ["/somewhere"]
    assert volume.subnqn in process.host.kernel.attached


async def test_a_block_volume_that_somebody_mounted_is_refused(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume(access_type=AccessType.BLOCK)
    await process.node.stage(world.stage_request(volume))
    number = process.host.kernel.attached[volume.subnqn].device.number
    process.host.kernel.mounts.append(Mount("/somewhere", number, "/", "ext4", "x", ("rw",), ("rw",)))
    with pytest.raises(NotPermittedNow, match="mounted at /somewhere"):
        await process.node.stage(world.stage_request(volume))
