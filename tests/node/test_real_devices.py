"""The node half over real loop devices, filesystems and mounts; needs root."""

import hashlib
import os
from functools import partial
from pathlib import Path

import pytest
import trio
from real_bench import SIZE, Bench, open_bench

from rdscsi.errors import CommandFailed, DeviceUnavailable, FormatRefused, NotPermittedNow, OperationPending
from rdscsi.host.devices import loops
from rdscsi.host.local import in_thread
from rdscsi.model import MIB, AccessType
from rdscsi.node.formatting import stamp_of
from rdscsi.testing.host import clear_machine
from rdscsi.testing.node import NodeWorld

pytestmark = pytest.mark.root

GROWN = 448 * MIB


def write(path: str, size_bytes: int, at: int = 0) -> str:
    """Write random bytes, synced; return their SHA-256."""
    content = os.urandom(size_bytes)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, content, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(content).hexdigest()


def read(path: str, size_bytes: int, at: int = 0) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.sha256(os.pread(descriptor, size_bytes, at)).hexdigest()
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_a_filesystem_lives_its_whole_life_and_keeps_its_data(bench: Bench, fs_type: str) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, fs_type=fs_type)
    pod, staging = world.path("pod"), bench.staging(volume)
    for _ in range(3):
        await bench.stage(volume)
        await node.publish(world.publish_request(volume))
    assert [len(await bench.mounts(path)) for path in (staging, pod)] == [1, 1]
    checksum = await in_thread(partial(write, f"{pod}/data", 8 * MIB))
    usage = (await node.stats(volume.volume_id, pod, staging)).usage
    assert usage[0].used >= 8 * MIB
    if fs_type == "xfs":  # ext4 needs a capability for it
        world.grow(volume, GROWN)
        assert await node.expand(world.expand_request(volume, pod, GROWN)) == GROWN
        assert (await node.stats(volume.volume_id, pod, staging)).usage[0].total > usage[0].total + 64 * MIB
    for _ in range(3):
        await node.unpublish(volume.volume_id, pod)
        await bench.unstage(volume)
    assert not Path(pod).exists()
    assert await bench.host.connected("nqn.") == {}
    world.publish(volume)  # another epoch, without a permit: the filesystem is there
    volume.permit = False
    await bench.stage(volume)
    await node.publish(world.publish_request(volume, readonly=True))
    assert await in_thread(partial(read, f"{pod}/data", 8 * MIB)) == checksum
    with pytest.raises(DeviceUnavailable, match="Read-only"):
        await in_thread(partial(write, f"{pod}/more", 1))
    await node.unpublish(volume.volume_id, pod)
    await bench.unstage(volume)


async def test_a_block_volume_lives_its_whole_life_and_keeps_its_data(bench: Bench) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, access_type=AccessType.BLOCK)
    pod = world.path("pod")
    for _ in range(3):
        await bench.stage(volume)
        await node.publish(world.publish_request(volume))
    checksum = await in_thread(partial(write, pod, MIB, SIZE - MIB))
    world.grow(volume, GROWN)
    assert await node.expand(world.expand_request(volume, pod, GROWN)) == GROWN
    assert (await node.stats(volume.volume_id, pod, "")).usage[0].total == GROWN
    for _ in range(3):
        await node.unpublish(volume.volume_id, pod)
        await bench.unstage(volume)
    assert not Path(pod).exists()
    with volume.file.open("rb") as opened:
        opened.seek(SIZE - MIB)
        assert hashlib.sha256(opened.read(MIB)).hexdigest() == checksum


async def test_a_block_volume_is_bound_where_device_nodes_cannot_be_opened(bench: Bench) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, access_type=AccessType.BLOCK)
    pods = world.path("pods")
    await bench.host.make_directory(pods)
    await bench.run("mount", "-t", "tmpfs", "-o", "nodev,size=1m", "tmpfs", pods)
    await bench.stage(volume)
    for _ in range(3):
        await node.publish(world.publish_request(volume, "pods/pod"))
    assert len(await bench.mounts(f"{pods}/pod")) == 1
    checksum = await in_thread(partial(write, f"{pods}/pod", MIB))
    assert await in_thread(partial(read, str(volume.file), MIB)) == checksum
    with pytest.raises(NotPermittedNow, match="pods/pod"):
        await bench.unstage(volume)
    await node.unpublish(volume.volume_id, f"{pods}/pod")
    assert os.listdir(pods) == []
    await bench.unstage(volume)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_a_mkfs_that_was_cut_short_is_made_again(bench: Bench, fs_type: str) -> None:
    """What a kill leaves: our stamp, and some of what mkfs writes."""
    volume = bench.world.volume(size_bytes=SIZE, fs_type=fs_type)
    device = await bench.host.connect(bench.node._machine.connection(volume.subnqn, ()))
    await bench.host.write_stamp(device, stamp_of(volume.volume_id))
    await bench.host.make_filesystem(device, fs_type, erase_unfinished=False)
    await bench.run("dd", "if=/dev/urandom", f"of={device.path}", "bs=4k", "count=3", "seek=8", "conv=fsync")
    await bench.stage(volume)
    assert len(await bench.mounts(bench.staging(volume))) == 1
    await bench.unstage(volume)


MBR = bytes(446) + bytes([0, 2, 0, 0, 131, 0, 0, 0, 0, 8, 0, 0, 0, 64, 0, 0]) + bytes(48) + b"\x55\xaa"


@pytest.mark.parametrize("foreign", ["btrfs", "swap", "xfs", "partitions", "bytes"])
async def test_foreign_content_is_refused_and_kept(bench: Bench, foreign: str) -> None:
    volume = bench.world.volume(size_bytes=SIZE, fs_type="ext4")
    tools = {"btrfs": ("mkfs.btrfs", "-q"), "swap": ("mkswap",), "xfs": ("mkfs.xfs", "-q")}
    if foreign in tools:
        await bench.run(*tools[foreign], str(volume.file))
    else:
        with volume.file.open("r+b") as opened:
            opened.write(MBR if foreign == "partitions" else b"some data that has no signature")
    before = await in_thread(partial(read, str(volume.file), SIZE))
    with pytest.raises(FormatRefused) as refused:
        await bench.stage(volume)
    assert "by hand" in str(refused.value)
    assert await in_thread(partial(read, str(volume.file), SIZE)) == before
    assert await bench.host.connected("nqn.") == {}
    assert await bench.journal.stages() == []


async def test_a_device_that_cannot_be_read_is_not_taken_for_blank(bench: Bench) -> None:
    volume = bench.world.volume(size_bytes=SIZE)
    real = volume.file
    await bench.stage(volume)
    await bench.unstage(volume)
    with real.open("r+b") as opened:
        opened.write(bytes(4 * MIB))  # as if it had lost its superblock: blkid finds nothing
    bench.world.publish(volume)
    device = await bench.host.connect(bench.node._machine.connection(volume.subnqn, ()))
    os.truncate(real, SIZE // 2)  # the second half of the device cannot be read now
    with pytest.raises(DeviceUnavailable, match=r"error|less"):
        await bench.host.probe(device, "stamp")
    with pytest.raises(DeviceUnavailable):
        await bench.stage(volume)
    os.truncate(real, SIZE)


async def test_a_reused_device_number_never_opens_another_volumes_disk(bench: Bench) -> None:
    world, node = bench.world, bench.node
    first = world.volume("pvc-1", size_bytes=SIZE, access_type=AccessType.BLOCK)
    second = world.volume("pvc-2", size_bytes=SIZE, access_type=AccessType.BLOCK)
    await bench.stage(first)
    await node.publish(world.publish_request(first, "pod-1"))
    number = (await bench.host.path_state(world.path("pod-1"))).number
    device = await bench.host.find_device(first.subnqn)
    assert device is not None
    await bench.host.disconnect(first.subnqn)  # the connection is lost; the node at the target stays
    await bench.stage(second)
    reused = await bench.host.find_device(second.subnqn)
    assert reused is not None
    assert not Path(world.path("pod-1")).exists()
    if reused.number != number:
        pytest.skip("another process took the number meanwhile")
    await node.publish(world.publish_request(second, "pod-2"))
    await node.unpublish(first.volume_id, world.path("pod-1"))
    await bench.unstage(first)
    assert (await bench.host.path_state(world.path("pod-2"))).number == reused.number


async def test_kubelets_loop_device_on_a_block_volume_keeps_it_staged(bench: Bench) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, access_type=AccessType.BLOCK)
    await bench.stage(volume)
    await node.publish(world.publish_request(volume))
    kubelet = (await bench.run("losetup", "--find", "--show", world.path("pod"))).strip()
    await node.unpublish(volume.volume_id, world.path("pod"))
    with pytest.raises(NotPermittedNow, match=f"loop device {kubelet}"):
        await bench.unstage(volume)
    await bench.run("losetup", "--detach", kubelet)
    await bench.unstage(volume)
    assert await bench.host.connected("nqn.") == {}


async def test_a_mount_in_another_namespace_keeps_a_volume_connected(bench: Bench) -> None:
    volume = bench.world.volume(size_bytes=SIZE)
    await bench.stage(volume)
    ready = bench.world.directory / "ready"
    script = f"mount --make-rprivate / && touch {ready} && exec sleep 60"
    process = await trio.lowlevel.open_process(["unshare", "--mount", "sh", "-c", script])
    try:
        while not ready.exists():
            await trio.sleep(0.01)
        with pytest.raises(OperationPending, match="another mount namespace"):
            await bench.unstage(volume)
        assert await bench.mounts(bench.staging(volume)) == []
        assert volume.subnqn in await bench.host.connected("nqn.")
    finally:
        process.kill()
        await process.wait()
    await bench.unstage(volume)
    assert await bench.host.connected("nqn.") == {}


async def test_an_ext4_is_grown_online_where_the_capability_is_held_and_else_says_so(bench: Bench) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, fs_type="ext4")
    await bench.stage(volume)
    world.grow(volume, GROWN)
    request = world.expand_request(volume, bench.staging(volume), GROWN)
    if int(capabilities(), 16) >> 24 & 1:
        assert await node.expand(request) == GROWN
    else:
        with pytest.raises(CommandFailed, match="CAP_SYS_RESOURCE"):
            await node.expand(request)
        assert await bench.journal.open_operations() == []
        await bench.stage(volume)  # and the volume goes on being usable
    await bench.unstage(volume)


def capabilities() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("CapEff:"))


async def test_a_filesystem_smaller_than_its_device_is_grown_when_it_is_staged(bench: Bench) -> None:
    """As after a restore to a larger size."""
    world = bench.world
    volume = world.volume(size_bytes=SIZE, fs_type="xfs")
    await bench.stage(volume)
    before = (await bench.host.usage(bench.staging(volume)))[0].total
    await bench.unstage(volume)
    world.grow(volume, GROWN)
    await bench.stage(volume)
    assert (await bench.host.usage(bench.staging(volume)))[0].total > before + 64 * MIB
    await bench.unstage(volume)


async def test_a_copy_of_an_xfs_is_mounted_beside_its_origin(bench: Bench) -> None:
    world = bench.world
    origin = world.volume("pvc-1", size_bytes=SIZE, fs_type="xfs")
    await bench.stage(origin)
    await bench.run("sync")
    copy = world.volume("pvc-2", size_bytes=SIZE, permit=False)
    await bench.run("cp", "--sparse=always", str(origin.file), str(copy.file))
    await bench.stage(copy)
    assert [one.fs_type for one in await bench.mounts(bench.staging(copy))] == ["xfs"]
    await bench.unstage(copy)
    await bench.unstage(origin)


async def test_an_ext4_that_does_not_mount_is_repaired_and_keeps_its_data(bench: Bench) -> None:
    volume = bench.world.volume(size_bytes=SIZE, fs_type="ext4")
    await bench.stage(volume)
    checksum = await in_thread(partial(write, f"{bench.staging(volume)}/data", MIB))
    await bench.unstage(volume)
    await bench.run("debugfs", "-w", "-R", "clri <8>", str(volume.file))  # its journal is gone
    volume.permit = False
    await bench.stage(volume)
    assert await in_thread(partial(read, f"{bench.staging(volume)}/data", MIB)) == checksum
    last = await bench.journal.operation_record((await bench.journal.operations(limit=1))[0].id)
    assert last is not None
    assert [step.name for step in last.steps] == ["connect", "mount", "check"]
    await bench.unstage(volume)


async def test_what_cannot_be_repaired_is_told_with_the_words_of_both_tools_and_left_alone(bench: Bench) -> None:
    volume = bench.world.volume(size_bytes=SIZE, fs_type="ext4")
    await bench.stage(volume)
    await bench.unstage(volume)
    await bench.run("debugfs", "-w", "-R", "clri <2>", str(volume.file))  # its root directory is gone
    with pytest.raises(CommandFailed, match=r"(?s)mount.*e2fsck -p.*RUN fsck MANUALLY"):
        await bench.stage(volume)
    assert await bench.host.connected("nqn.") == {}
    assert await bench.journal.open_operations() == []


async def test_a_new_life_finds_what_the_former_staged_and_published(real_world: NodeWorld) -> None:
    volume = real_world.volume(size_bytes=SIZE)
    pod = real_world.path("pod")
    async with open_bench(real_world) as bench:
        await bench.stage(volume)
        await bench.node.publish(real_world.publish_request(volume))
        checksum = await in_thread(partial(write, f"{pod}/data", MIB))
    async with open_bench(real_world) as bench:
        try:
            await bench.stage(volume)
            await bench.node.publish(real_world.publish_request(volume))
            assert len(await bench.mounts(pod)) == len(await bench.mounts(bench.staging(volume))) == 1
            assert await in_thread(partial(read, f"{pod}/data", MIB)) == checksum
            await bench.node.unpublish(volume.volume_id, pod)
            await bench.unstage(volume)
            assert not [one for one in loops.loops() if one.inode[1] == volume.file.stat().st_ino]
        finally:
            with trio.CancelScope(shield=True):
                await clear_machine(bench.host, real_world.directory)


async def test_a_lost_journal_is_made_up_for_by_what_the_machine_shows(real_world: NodeWorld) -> None:
    volume = real_world.volume(size_bytes=SIZE)
    async with open_bench(real_world) as bench:
        await bench.stage(volume)
        await bench.node.publish(real_world.publish_request(volume, "pod-1"))
    real_world.deaths += 1  # another journal: the old one is gone
    async with open_bench(real_world) as bench:
        try:
            await bench.node.publish(real_world.publish_request(volume, "pod-2"))
            with pytest.raises(NotPermittedNow, match="pod-1"):
                await bench.unstage(volume)
            for pod in ("pod-1", "pod-2"):
                await bench.node.unpublish(volume.volume_id, real_world.path(pod))
            await bench.unstage(volume)
            assert await bench.host.connected("nqn.") == {}
        finally:
            with trio.CancelScope(shield=True):
                await clear_machine(bench.host, real_world.directory)
